"""Compute generalization measures: one family a file, one function a measure, one registry."""

from gentool.measures import (  # noqa: F401 - importing a family registers its measures
    average_sharpness,
    curvature,
    gradients,
    image_gradients,
    jiang2020,
    margin,
    margin_distribution,
    norms,
    outputs,
    path_norms,
    pgdl,
    sizes,
    spectra,
    spectral_complexity,
    training_record,
)
from gentool.measures.measured import Log, Measured, Undefined, margins
from gentool.measures.registry import MEASURES, evaluate_measures

__all__ = ["MEASURES", "Log", "Measured", "Undefined", "evaluate_measures", "margins"]
