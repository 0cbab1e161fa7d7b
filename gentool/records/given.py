"""Take records as Python is given them: in memory, or as files and folders. No torch."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gentool.common.errors import UsageError
from gentool.common.folders import RECORDS, files_in
from gentool.common.json import dumps, loads, with_nulls
from gentool.records.measure_file import Record, check_record
from gentool.records.reading import read_each

Given = Mapping[str, Any] | str | Path
"""A record in memory, a measure file, or a folder of measure files."""


def given_records(given: Given | Iterable[Given]) -> list[Record]:
    """Return records in the order in which they are given; those in memory are not changed.

    Warn of a file that cannot be read, and leave it out. Raise GentoolError, naming it, if it is
    the only one, or if a dictionary is no record; UsageError for anything else, or nothing.
    """
    items = [given] if isinstance(given, Mapping | str | Path) else list(given)
    records: list[Record] = []
    files: list[Path] = []
    for i, item in enumerate(items):
        if isinstance(item, Mapping):
            records.append(check_record(_as_of_a_file(item, i), f"record {i}"))
        elif isinstance(item, str | Path):
            files.append(Path(item))
        else:
            raise UsageError(
                f"record {i} is a {type(item).__name__}; give records, measure files or folders"
            )
    if not items:
        raise UsageError("there are no records; give records, measure files or folders")
    if files:
        found = files_in(files, RECORDS)
        records += read_each(
            found,
            lambda message: warnings.warn(message, stacklevel=4),
            passes_over=lambda path: path not in files,
        )
    return records


def _as_of_a_file(record: Mapping[str, Any], index: int) -> Record:
    """Return a copy of a record in memory with the types that one of a file has."""
    try:
        return loads(dumps(with_nulls(dict(record))[0]))
    except (TypeError, ValueError) as error:
        raise UsageError(f"record {index} is none of a measure file: {error}") from error
