"""Which of the given networks a figure is about: one kind, told apart by what the figure varies.

The trap avoided: a curve through networks that differ in more than its x axis says.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gentool.common.errors import GentoolError
from gentool.records.measure_file import Record, lookup
from gentool.records.recipe import Role, describe_source, fields_with


@dataclass(frozen=True)
class Networks:
    """The records that a figure draws, and what there is to say about the choice."""

    records: list[Record]
    notes: list[str] = field(default_factory=list)

    def with_labels(self, labels: str) -> list[Record]:
        """Those trained on these labels."""
        return [record for record in self.records if lookup(record, "recipe.labels") == labels]


def choose(
    records: list[Record],
    figure: str,
    varied: Iterable[str],
    is_wanted: Callable[[dict], bool],
    wanted: str,
) -> Networks:
    """The networks that a figure is about; all of one kind but for the `varied` keys of the recipe.

    Those that are not `wanted` are left out, which a note says. Raises GentoolError where none is,
    or where those that are differ in architecture or data; other training options make a note.
    """
    chosen = [record for record in records if is_wanted(record["recipe"] or {})]
    if not chosen:
        raise GentoolError(f"figure {figure} draws {wanted}; none of these files is of one")
    if mixed := _differences(chosen, [key for key in fields_with(Role.KIND) if key not in varied]):
        raise GentoolError(
            f"figure {figure} draws networks of one kind, and these differ in {mixed}; "
            "give the files of one kind"
        )
    notes = []
    if left_out := len(records) - len(chosen):
        notes.append(f"figure {figure} draws {wanted}; {count(left_out, 'other network')} left out")
    if otherwise := _differences(chosen, fields_with(Role.NOTED)):
        notes.append(f"these networks were trained with different {otherwise}")
    return Networks(chosen, notes)


def _differences(records: list[Record], keys: Iterable[str]) -> str:
    """The keys in which recipes differ, with their values; data is told by its fingerprint."""
    found = []
    for key in keys:
        names = {
            json.dumps((record["recipe"].get("fingerprint") if key == "data" else None) or value)
            for record in records
            for value in [record["recipe"].get(key)]
        }
        if len(names) > 1:
            given = {str(record["recipe"].get(key)) for record in records}
            values = sorted(given, key=lambda text: (len(text), text))
            found.append(f"recipe.{key} ({', '.join(values)})")
    return ", ".join(found)


def caption(records: list[Record], *more: str) -> str:
    """What was drawn, in one line: data, model, number of networks."""
    recipe = records[0]["recipe"]
    parts = [describe_source(recipe["data"]), *_model(records), count(len(records), "network")]
    return ", ".join([*parts, *more])


def _model(records: list[Record]) -> list[str]:
    """The model in words, with what all of the records share of its size."""
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
    """A number of things: 1 network, 2 networks."""
    return f"{number} {thing}" + "s" * (number != 1)
