"""List the families of measures, one a file: title, what a larger value means, and groups."""

from dataclasses import dataclass

COSTS = ("cheap", "derived", "spectrum", "data", "gradient")
"""The weights, and one pass over the data for the margins; what follows from other measures or the
training record, and is computed where asked for; all singular values; more passes over the data;
gradients and second derivatives."""
NEEDS = ("margin", "data", "initial weights", "training record", "gradients", "sampling")
"""What a measure may need beside the weights; `sampling`: its value is an estimate."""
CAPACITY = "more capacity"
RESCALING = "rescaling"
INVARIANCES = ("permutation", "batch_norm", "data_order", "batch_size", "classes")
"""What leaves every measure as it is; estimates by sampling within their error. Many, not all, are
invariant under RESCALING, too. See `gentool.measures.transformations`."""


@dataclass(frozen=True)
class Family:
    """Describe the measures of one file; they belong to its `groups` too.

    With `is_rescalable` they do not change where one layer is multiplied and another divided by the
    same number, unless a measure says otherwise.
    """

    title: str
    larger: str = CAPACITY
    groups: tuple[str, ...] = ()
    is_rescalable: bool = True


FAMILIES = {
    "margin": Family("Margins"),
    "norms": Family("Products of norms", groups=("norms",)),
    "path_norms": Family("Path norms", groups=("norms",)),
    "sizes": Family("Sizes and sums of norms", groups=("norms",)),
    "spectral_complexity": Family("Bounds of spectral norms, and distances", groups=("norms",)),
    "spectra": Family("Singular values of the layers"),
    "margin_distribution": Family("Distribution of margins", "more room", ("margins",)),
    "pgdl": Family("Margins and losses of the PGDL winners", groups=("pgdl",)),
    "gradients": Family("Gradients", is_rescalable=False),
    "curvature": Family("Curvature of the loss", is_rescalable=False),
    "average_sharpness": Family("Average-case sharpness", "a sharper minimum", ("sharpness",)),
    "outputs": Family("Outputs on the training set"),
    "image_gradients": Family("Gradients of single images", larger="noisier gradients"),
    "training_record": Family("Training record", larger="a slower or noisier training"),
    "jiang2020": Family("Other measures of Jiang et al.", groups=("jiang2020",)),
}
"""By the name of the file in gentool/measures, in the order of `--list`."""
SOURCES = {
    "Exploring Generalization in Deep Learning": "neyshabur2017",
    "Fantastic Generalization Measures": "jiang2020",
    "In Search of Robust Measures": "dziugaite2020",
}
"""Groups of all measures with a source of this title."""


def groups_of(family: str, cost: str, source: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Return all groups of a measure: its family, cost, source, and those that it names."""
    of_source = (group for title, group in SOURCES.items() if title in source)
    every = (family, cost, *FAMILIES[family].groups, *of_source, *groups)
    return tuple(dict.fromkeys(group.replace("_", "-") for group in every))
