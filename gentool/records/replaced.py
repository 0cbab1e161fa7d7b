"""Say what a file held that --force replaces, where that was made with other settings. No torch."""

from collections.abc import Callable
from pathlib import Path

from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.records.checkpoint_metadata import read, recipe_and_outcome
from gentool.records.measure_file import read as read_record
from gentool.records.recipe import Recipe, Role, fields_with

MOST = 4  # differences in one line
_APART = ("name", "only")  # of a command; what it computes is compared by the measures


def replaced_checkpoint(path: Path, differences: Callable[[Recipe], list[str]]) -> str:
    """Return what is said of a checkpoint that another network replaces; empty if nothing is.

    That is a checkpoint whose recipe differs, as `differences` lists, or a file that is none.
    """
    if not path.is_file():
        return ""
    try:
        before, _ = recipe_and_outcome(read(path))
    except GentoolError:
        return f"{path}, which is no checkpoint of gentool, is replaced"
    return _sentence(path, differences(before))


def replaced_record(path: Path | None, record: Json) -> str:
    """Return what is said of a record that another one replaces; empty if nothing is.

    That is a record of another network, one made with other options, or one with more measures.
    """
    if path is None or not path.is_file():
        return ""
    try:
        before = read_record(path)
    except GentoolError:
        return f"{path}, which is no record of gentool, is replaced"
    differences = []
    if before["checkpoint"]["sha256"] != record["checkpoint"]["sha256"]:
        differences = ["another checkpoint"]
        if isinstance(before.get("recipe"), dict):
            differences += recipe_differences(before["recipe"], record["recipe"])
    differences += _differences(before["command"], record["command"], _APART)
    lost = [n for n, v in before["measures"].items() if v is not None]
    if lost := [name for name in lost if name not in record["measures"]]:
        differences.append(f"{len(lost)} measures more")
    return _sentence(path, differences)


def repeats(path: Path, record: Json) -> bool:
    """Return whether a file holds a record of the same checkpoint, command and measures."""
    try:
        before = read_record(path)
    except GentoolError:
        return False
    return (
        before["checkpoint"]["sha256"] == record["checkpoint"]["sha256"]
        and before["measures"].keys() == record["measures"].keys()
        and not _differences(before["command"], record["command"], ())
    )


def recipe_differences(before: Json, now: Json) -> list[str]:
    """Return where two recipes differ, as JSON has them, but for what follows from the data."""
    differences = _differences(before, now, fields_with(Role.UNNAMED, Role.DERIVED))
    others = before.get("layers"), now.get("layers")
    return differences + (["other layers"] if others[0] != others[1] else [])


def _differences(before: Json, now: Json, apart: tuple[str, ...]) -> list[str]:
    """Return the entries that differ, as `lr 0.1, not 0.2`."""
    return [
        f"{name.replace('_', '-')} {before[name]}, not {now[name]}"
        for name in before
        if name in now and name not in apart and _plain(before[name]) != _plain(now[name])
    ]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _sentence(path: Path, differences: list[str]) -> str:
    if not differences:
        return ""
    more = len(differences) - MOST
    listed = "; ".join(differences[:MOST]) + (f" and {more} more" if more > 0 else "")
    return f"{path} is replaced, which had {listed}"
