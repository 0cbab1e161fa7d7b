"""Tabulate the weight layers of a network: shapes, sizes and norms."""

import math
from collections.abc import Mapping, Sequence

from gentool.common.json import Json, finite
from gentool.networks.canonical import Layer, Network
from gentool.networks.operator_norm import Bounds


def layer_table(
    network: Network,
    has_operators: bool = False,
    others: Mapping[str, Sequence[float | None]] | None = None,
) -> list[Json]:
    """Return one row for each weight layer; a norm is None if it is not finite or not computed.

    `others` are further values of each layer, by name.
    """
    rows = [_row(layer, has_operators) for layer in network.weight_layers]
    for name, values in (others or {}).items():
        for row, value in zip(rows, values, strict=True):
            row[name] = None if value is None else finite(value)
    return rows


def _row(layer: Layer, has_operators: bool) -> Json:
    bounds = layer.spectral_operator if has_operators else Bounds(math.nan, math.nan)
    has_norm = math.isfinite(bounds.lower)
    return {
        "name": layer.name,
        "shape": list(layer.module.weight.shape),
        "channels": layer.channels,
        "units": layer.units,
        "frobenius": finite(layer.frobenius),
        "spectral": finite(layer.spectral),
        "frobenius_operator": finite(layer.frobenius_operator),
        "spectral_operator": finite(bounds.lower),
        "spectral_operator_upper": finite(bounds.upper),
        "spectral_operator_error": bounds.error if has_norm else None,
        "spectral_operator_residual": bounds.residual if has_norm else None,
    }
