"""Choose the keys that a table shows. No torch."""

from collections.abc import Iterable
from dataclasses import fields

from gentool.common.errors import unknown
from gentool.records.measure_facts import is_group, with_groups
from gentool.records.measure_file import (
    DERIVED,
    KEY_PARTS,
    Record,
    known_keys,
    log10_of,
    lookup,
)
from gentool.records.recipe import Recipe, Role

FILE, DIGEST = "checkpoint.file", "checkpoint.sha256"
SHOWN_MEASURES = ("l2", "l1_path", "l2_path", "spectral", "sharpness")
ERRORS = ("outcome.train_error", "outcome.confusion_error", "outcome.test_error", "gap")


def expanded(records: list[Record], names: list[str]) -> list[str]:
    """Return the keys of these names, each once.

    A name may be a part of a record, `measures`, `all`, or a group of measures, as `@norms`.

    Raise UsageError, with the nearest known key, for an unknown one.
    """
    known = known_keys(records)
    keys: dict[str, None] = {}
    for name in names:
        if name == "all":
            keys |= dict.fromkeys(known)
        elif name == "measures":
            keys |= dict.fromkeys(key for key in known if "." not in key and key not in DERIVED)
        elif is_group(name):
            keys |= dict.fromkeys(with_groups([name], known))
        elif name in KEY_PARTS:
            keys |= dict.fromkeys(key for key in known if key.startswith(f"{name}."))
        elif name in known:
            keys[name] = None
        else:
            raise unknown("key", name, known)
    return list(keys)


def varying(records: list[Record]) -> list[str]:
    """Return the keys of the settings in which the recipes differ, in the order of a recipe."""
    hidden = (Role.DERIVED, Role.UNNAMED)
    names = [
        option.name
        for option in fields(Recipe)
        if not any(role in option.metadata["roles"] for role in hidden)
    ]
    keys = [f"recipe.{name}" for name in names]
    return [key for key in keys if len({str(lookup(record, key)) for record in records}) > 1]


def default_columns(records: list[Record]) -> list[str]:
    """Return the file, what varies, errors, the gap, the paper's four norms and sharpness.

    A measure that is too large for a float in some network is shown by its logarithm.
    """
    errors = [key for key in ERRORS if has_some(records, key)]
    measures = present(records, SHOWN_MEASURES)
    measures = [f"log10.{key}" if _overflows(records, key) else key for key in measures]
    if not measures:
        measures = [key for key in known_keys(records) if "." not in key and key not in DERIVED]
    return [FILE, *varying(records), *errors, *measures]


def present(records: list[Record], measures: Iterable[str]) -> list[str]:
    """Return the measures that some network has, each without its margin where none has it."""
    keys = []
    for name in measures:
        for key in (name, f"{name}_unnormalized"):
            if any(log10_of(r, key) is not None or lookup(r, key) is not None for r in records):
                keys.append(key)
                break
    return keys


def has_some(records: list[Record], key: str) -> bool:
    """Return whether some record has a value under a key."""
    return any(lookup(record, key) is not None for record in records)


def tell_apart(records: list[Record], keys: list[str]) -> bool:
    """Return whether no two records have the same values under all of these keys."""
    values = {tuple(str(lookup(record, key)) for key in keys) for record in records}
    return len(values) == len(records)


def _overflows(records: list[Record], key: str) -> bool:
    return any(lookup(r, key) is None and log10_of(r, key) is not None for r in records)
