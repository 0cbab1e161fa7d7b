"""Write, read and merge measure files: one JSON object a checkpoint and command. No torch."""

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from gentool.common.errors import GentoolError, unknown
from gentool.common.files import write_whole
from gentool.common.json import dumps, is_number, loads, log10, with_nulls
from gentool.records.formats import check_format
from gentool.records.json_documents import documents
from gentool.records.ranges import Range
from gentool.records.recipe import fault_of_history, initial_weights, with_later_fields
from gentool.records.schemas import of_json_schema
from gentool.records.settings import PARTS, origin

FORMAT = 1
EVALUATED = tuple(
    f"outcome.{part}_{kind}"
    for part in ("train", "confusion", "test")
    for kind in ("loss", "error")
)
"""Keys of an outcome that `evaluation` has too."""
DERIVED = {
    "gap": ("outcome.test_error", "outcome.train_error"),
    "loss_gap": ("outcome.test_loss", "outcome.train_loss"),
}
"""Keys that no file holds: the first key's value less the second's. `gap` is the generalization
gap, test error − training error, as fractions; `loss_gap` the same of the mean cross-entropies."""
DIFFERENT = 0.005  # errors of one network on one data set, in float32 and float64, differ by less
KEY_PARTS = ("recipe", "outcome", "evaluation", "margin", "checkpoint", "log10", "layer")
"""Parts of a record whose entries are keys, as dotted paths; `layer` is that of a table's row."""
_NOT_ONE_VALUE = (
    "recipe.layers",
    "recipe.origin",
    "outcome.history",
    "margin.quantiles",
    "margin.histogram",
    "evaluation.source",
    "evaluation.warnings",
)
Record = dict[str, Any]

_NEEDED = ("gentool", "command", "checkpoint", "recipe", "outcome", "measures", "log10", "notes")
"""What every record has; the rest is there in all that gentool writes, and nothing needs it."""


@cache
def schema_of_records() -> Range:
    """Return the range of all records: that of the JSON Schema in the package."""
    schema = loads((Path(__file__).parents[1] / "measures.schema.json").read_bytes())
    return of_json_schema(schema | {"required": _NEEDED})


def dumps_line(record: Record) -> str:
    """Return a record as one line of strict JSON."""
    return _strict(record)


def _strict(record: Record, indent: int | None = None) -> str:
    """Return a record as strict JSON: null, and a note, for each number that is not finite."""
    try:
        return dumps(record, indent)
    except ValueError:  # NaN or infinity
        record, notes = with_nulls(record)
        return dumps(record | {"notes": [*record["notes"], *notes]}, indent)


def write(path: Path, record: Record) -> None:
    """Write a record as strict, indented JSON, whole or not at all."""
    text = _strict(record, indent=1)
    write_whole(path, f"{text}\n".encode())


def read(path: Path) -> Record:
    """Read a measure file with one record.

    Raise GentoolError, naming the file, if it is missing, not strict JSON, or not a measure file.
    """
    found = list(documents(path))
    for _, document in found:
        if isinstance(document, GentoolError):
            raise document
    if len(found) > 1:
        raise GentoolError(f"{path} holds {len(found)} records; one is needed")
    where, document = found[0]
    return check_record(document, where)


def check_record(record: object, where: str) -> Record:
    """Return a JSON value that is a record; `where` names its file, or its line of a file.

    Recipes of earlier versions get the fields that they lack. Raise GentoolError for anything else.
    """
    if not isinstance(record, dict) or "format" not in record:
        raise GentoolError(f"{where} is not a measure file; gentool measure writes them")
    check_format(record, FORMAT, where)
    checkpoint = record.get("checkpoint")
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("sha256"), str):
        raise GentoolError(f"{where} does not name its checkpoint by a SHA-256")
    if fault := schema_of_records().fault(record, "") or _fault_of_lists(record):
        raise GentoolError(f"{where} is no whole measure file: {fault}")
    if record["recipe"] is not None:
        record["recipe"] = with_later_fields(record["recipe"])
    _with_later_names(record)
    return record


def _fault_of_lists(record: Record) -> str | None:
    """Return which lists of a record of the right types do not belong to each other, if any."""
    if record.get("margin"):
        histogram = record["margin"]["histogram"]
        edges, counts = len(histogram["edges"]), len(histogram["counts"])
        if edges != counts + 1:
            return f"margin.histogram has {edges} edges for {counts} counts"
    outcome = record["outcome"]
    if outcome is None:
        return None
    return fault_of_history(outcome["history"], outcome["epochs"], "outcome.history")


def _with_later_names(record: Record) -> None:
    """Rename the KL term at one --alpha, which earlier versions wrote under the name of another."""
    old, new = "expected_sharpness_kl", "expected_sharpness_kl_at_alpha"
    if record["command"].get("expected") is True and record["command"].get("alpha") is not None:
        for part in ("measures", "log10"):
            record[part] = {new if k == old else k: value for k, value in record[part].items()}


def merge(records: Iterable[Record]) -> list[Record]:
    """Merge the records of each checkpoint, identified by its SHA-256, in their order.

    The merged record has the measures of all. A value replaces a null, since one command may have
    lacked the data that another had. `made_by` holds the settings that each value was made with.

    Raise GentoolError if two records hold different values of one measure: they were made with
    different settings, and a figure cannot know which to draw.
    """
    merged: dict[str, Record] = {}
    for record in records:
        digest = record["checkpoint"]["sha256"]
        if digest not in merged:
            fresh = {name: dict(record[name]) for name in ("measures", "log10")}
            made_by = {"made_by": _made_by(record)}
            merged[digest] = record | fresh | made_by | {"notes": list(record["notes"])}
        else:
            _add(merged[digest], record)
    return list(merged.values())


def _made_by(record: Record) -> dict[str, Any]:
    """Return the origin of each value of a record, and under `NAME.` of each of its parts."""
    if "made_by" in record:
        return dict(record["made_by"])
    made = origin(record)
    values = [
        name
        for part in ("measures", "log10")
        for name, value in record[part].items()
        if value is not None
    ]
    return dict.fromkeys([*values, *(f"{part}." for part in PARTS if record.get(part))], made)


def _add(into: Record, record: Record) -> None:
    """Add the measures and notes of a record to another one of the same checkpoint."""
    into["made_by"] = _made_by(record) | into["made_by"]
    for part in ("measures", "log10"):
        for name, value in record[part].items():
            present = into[part].get(name)
            if present is None:
                into[part][name] = value
            elif value is not None and not math.isclose(present, value, rel_tol=1e-9):
                raise GentoolError(
                    f"two files about {record['checkpoint'].get('file')} disagree on {name} "
                    f"({present:.6g} and {value:.6g}); leave out the one made with other settings"
                )
    for key in ("evaluation.train_error", "evaluation.test_error"):
        present, value = lookup(into, key), lookup(record, key)
        if is_number(present) and is_number(value) and abs(present - value) > DIFFERENT:
            raise GentoolError(
                f"two files about {record['checkpoint'].get('file')} disagree on {key} "
                f"({present:.6g} and {value:.6g}); leave out the one made with other data, labels "
                "or normalisation"
            )
    _fill_layers(into, record)
    into["notes"] += [note for note in record["notes"] if note not in into["notes"]]
    for name, value in record.items():
        if into.get(name) is None:
            into[name] = value


def _fill_layers(into: Record, record: Record) -> None:
    """Add the norms of layers that one command computed to the layers of another, without them."""
    layers = [into.get("layers"), record.get("layers")]
    if not all(isinstance(each, list) for each in layers):
        return
    named = {layer.get("name"): layer for layer in layers[1] if isinstance(layer, dict)}
    into["layers"] = [
        layer | {k: v for k, v in named.get(layer.get("name"), {}).items() if layer.get(k) is None}
        if isinstance(layer, dict)
        else layer
        for layer in layers[0]
    ]


def lookup(record: Record, key: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """Return the value under a key; None if it is absent.

    A key is a measure's name (`l2`), a dotted path (`recipe.subset`) or one of DERIVED (`gap`).
    `recipe.init` null is the kind of initial weights that it means.
    A network that another program trained has no outcome: the losses and errors of `outcome` are
    then those that were computed when it was measured, in `evaluation`.
    """
    if key in DERIVED:
        return _difference(*(lookup(record, part) for part in DERIVED[key]))
    if "." not in key:
        return record["measures"].get(key)
    if record.get("outcome") is None and key in EVALUATED:
        key = key.replace("outcome.", "evaluation.")
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None and key == "recipe.init":
        return initial_weights(record.get("recipe") or {})
    return value


def _difference(value: object, subtracted: object) -> float | None:
    """Return the difference of two numbers; None if one is absent."""
    return value - subtracted if is_number(value) and is_number(subtracted) else None


def log10_of(record: Record, key: str) -> float | None:
    """Return log10 of the number under a key, even if the number is too large for a float."""
    if "." not in key and key not in DERIVED:
        return record["log10"].get(key)
    value = lookup(record, key)
    return log10(value) if is_number(value) else None


def known_keys(records: list[Record]) -> list[str]:
    """Return all keys of these records: measures, derived ones, and dotted paths."""
    known: dict[str, None] = {}
    for record in records:
        known |= dict.fromkeys(record["measures"])
    known |= {name: None for name in DERIVED if any(lookup(r, name) is not None for r in records)}
    for part in KEY_PARTS:
        for entries in (record.get(part) for record in records):
            if isinstance(entries, dict):
                known |= dict.fromkeys(f"{part}.{name}" for name in entries)
    if any(record.get("evaluation") for record in records):
        known |= dict.fromkeys(EVALUATED)
    return [key for key in known if key not in _NOT_ONE_VALUE]


def check_key(records: list[Record], key: str) -> None:
    """Raise UsageError, with the nearest known key, if no record has a key."""
    known = known_keys(records)
    if key not in known:
        raise unknown("key", key, known)


def has_fitted(network: Record) -> bool:
    """Return whether a network has no training error, on its subset and on its confusion set."""
    errors = [lookup(network, f"outcome.{part}_error") for part in ("train", "confusion")]
    return errors[0] == 0 and not errors[1]
