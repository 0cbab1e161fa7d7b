"""Choose the networks of a figure: all of one kind, but for the keys that the figure varies.

The trap avoided: a curve through networks that differ in more than the key of its x axis.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gentool.common.errors import GentoolError
from gentool.records.averaging import (
    DIGEST,
    FILE,
    check_one_group,
    differences,
    group_key,
    seed_groups,
    without,
)
from gentool.records.measure_file import Record, lookup
from gentool.records.recipe import describe_source


@dataclass(frozen=True)
class Networks:
    """Hold the records that a figure draws, and notes about the choice."""

    records: list[Record]
    notes: list[str] = field(default_factory=list)

    def with_labels(self, labels: str) -> list[Record]:
        """Return the networks trained on these labels."""
        return [record for record in self.records if lookup(record, "recipe.labels") == labels]


def choose(
    records: list[Record],
    figure: str,
    varied: Sequence[str],
    is_wanted: Callable[[dict], bool],
    wanted: str,
) -> Networks:
    """Return the networks of a figure; they differ only in the `varied` keys of the recipe.

    Networks that are not `wanted` are left out, with a note. Raise GentoolError if none is left, if
    they differ in any other field of the recipe but the seed, or if two that agree in the varied
    keys differ in nothing else, as checkpoints of one training do.
    """
    chosen = [record for record in records if is_wanted(record["recipe"] or {})]
    if not chosen:
        raise GentoolError(f"figure {figure} draws {wanted}; none of these files is of one")
    free = (FILE, DIGEST, *(f"recipe.{key}" for key in varied))
    if mixed := differences([without(group, free) for group in seed_groups(chosen)]):
        raise GentoolError(
            f"figure {figure} draws networks of one kind, and these differ in {mixed}; "
            "give the files of one kind"
        )
    alike: dict[str, list[Record]] = defaultdict(list)
    for record in chosen:
        alike[group_key([record["recipe"].get(key) for key in varied])].append(record)
    for same in alike.values():
        check_one_group(same)
    notes = []
    if left_out := len(records) - len(chosen):
        notes.append(f"figure {figure} draws {wanted}; {count(left_out, 'other network')} left out")
    return Networks(chosen, notes)


def caption(records: list[Record], *more: str) -> str:
    """Return one line for the caption: data, model, number of networks."""
    recipe = records[0]["recipe"]
    data = describe_source(recipe["data"]) if recipe["data"] else ""  # of arrays in memory
    parts = [data, *_model(records), count(len(records), "network")]
    return ", ".join(filter(None, [*parts, *more]))


def _model(records: list[Record]) -> list[str]:
    """Return the model in words, with the sizes that all records share."""
    recipe = records[0]["recipe"]
    words = [recipe["model"].upper()]
    for key, form in (
        ("width", "width {:g}"),
        ("depth", "{} hidden layer"),
        ("hidden", "{} units"),
    ):
        values = {record["recipe"].get(key) for record in records} - {None}
        if len(values) == 1:
            words.append(form.format(value := values.pop()) + "s" * (key == "depth" and value > 1))
    return words


def count(number: int, thing: str) -> str:
    """Return a number with its noun: 1 network, 2 networks."""
    return f"{number} {thing}" + "s" * (number != 1)
