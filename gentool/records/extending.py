"""Add to an existing record what another command of the same settings computed. No torch."""

from collections.abc import Iterable

from gentool.common.errors import GentoolError
from gentool.records.measure_facts import changed_by_rescaling
from gentool.records.measure_file import Record

SAID_APART = ("only", "alpha", "invariance")
"""Settings of a command that name what it computes, and change no number."""
_MEANT = {"sampling_seed": 0, "rel_error": 0.05}
"""The values that files without these settings mean: earlier versions sampled nothing."""


def check_same_settings(record: Record, sha256: str, command: Record, file: object) -> None:
    """Raise GentoolError if a record is of another checkpoint, or was made with other settings.

    `command` are the settings now, by name, `file` is the name of the record in messages.
    """
    remedy = "replace it with --force or keep it with --skip-existing"
    if record["checkpoint"]["sha256"] != sha256:
        raise GentoolError(f"{file} exists, of another checkpoint; {remedy}")
    meant = _MEANT if command["name"] == "measure" else {}
    before, command = meant | record["command"], meant | command
    for name in dict.fromkeys([*before, *command]):
        if name not in SAID_APART and before.get(name) != command.get(name):
            raise GentoolError(
                f"{file} exists, made with {name} {before.get(name)!r}, not {command.get(name)!r}; "
                f"{remedy}"
            )


def missing_measures(record: Record, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of some measures that a record lacks."""
    return tuple(name for name in names if name not in record["measures"])


def extended(record: Record, addition: Record, order: Iterable[str]) -> Record:
    """Return a record with the measures of another one of the same checkpoint and settings.

    Measures stand in an order. What the record has itself is kept.
    """
    places = {name: i for i, name in enumerate(order)}
    names = sorted(
        addition["measures"] | record["measures"], key=lambda name: places.get(name, len(places))
    )
    together = dict(record)
    for part in ("measures", "log10"):
        values = addition[part] | record[part]
        together[part] = {name: values[name] for name in names}
    notes = [*record["notes"], *(n for n in addition["notes"] if n not in record["notes"])]
    together["notes"] = notes
    together["layers"] = [
        new | {name: value for name, value in old.items() if value is not None}
        for old, new in zip(record["layers"], addition["layers"], strict=True)
    ]
    for part in ("margin", "evaluation"):
        if record.get(part) is None:
            together[part] = addition.get(part)
    together["changed_by_rescaling"] = changed_by_rescaling(names)
    together["command"] = record["command"] | {"only": _both(record, addition)}
    together["seconds"] = round(record["seconds"] + addition["seconds"], 3)
    return together


def _both(record: Record, addition: Record) -> list[str] | None:
    """Return the measures that either command named; None if one computed all."""
    named = [part["command"]["only"] for part in (record, addition)]
    return None if None in named else list(dict.fromkeys([*named[0], *named[1]]))
