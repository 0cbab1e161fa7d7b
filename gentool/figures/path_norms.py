"""Choose the reading of the path norms at a max pooling that a figure draws, and name it.

The paper's values are those of the largest path sum in each window. Without max poolings both
readings are equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gentool.common.errors import unknown
from gentool.figures import series, style
from gentool.figures.selection import count
from gentool.records.measure_file import Record

PATH_NORMS = ("l1_path", "l2_path")
READINGS = {
    "maxpool": ("_maxpool", "largest path at max pooling"),
    "sum": ("", "sum over the pooling's inputs"),
}


@dataclass(frozen=True)
class Reading:
    """Hold the suffix of the path norms that a figure draws, and words for it.

    Both are empty where no network has a max pooling.
    """

    suffix: str = ""
    words: str = ""

    @property
    def is_of_paper(self) -> bool:
        return self.suffix == READINGS["maxpool"][0]

    def key(self, measure: str) -> str:
        """Return the name under which records hold a measure in this reading."""
        return measure + self.suffix if measure in PATH_NORMS else measure

    def label(self, measure: str) -> str:
        """Return the words for a measure on an axis; a reading stands on a line of its own."""
        words = style.words(measure)
        return f"{words}\n({self.words})" if self.words and measure in PATH_NORMS else words

    def missing(self, records: list[Record], measure: str) -> str:
        """Return why networks lack a measure, and the remedy; empty if all have it."""
        key = self.key(measure)
        older = [r for r in records if key not in r["measures"] and measure in r["measures"]]
        if not older:
            return series.missing(records, key)
        who = "" if len(older) == len(records) else f" ({count(len(older), 'network')})"
        return f"no {key}{who}: run gentool measure again, or plot with --path-norms sum"


def reading(records: Iterable[Record], name: str) -> Reading:
    """Return the reading of this name, for these networks; raise UsageError if it is unknown."""
    if name not in READINGS:
        raise unknown("reading of the path norms", name, READINGS)
    return Reading(*READINGS[name]) if any(map(_has_max_pooling, records)) else Reading()


def _has_max_pooling(record: Record) -> bool:
    recipe = record["recipe"] or {}
    if recipe.get("layers"):
        return any(layer["type"] == "max_pool2d" for layer in recipe["layers"])
    return recipe.get("model") != "mlp"
