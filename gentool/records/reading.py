"""Read the records of many files, each with one record or several. No torch."""

from collections.abc import Callable
from pathlib import Path

from gentool.common.errors import GentoolError
from gentool.records.json_documents import documents
from gentool.records.measure_file import Record, check_record

Report = Callable[[str], None]


def read_records(path: Path, report: Report | None = None) -> list[Record]:
    """Read all records of a file, in their order; `-` is the standard input.

    `report` is told how many of several records cannot be read, and why the first of them. Raise
    GentoolError, naming the file, if it is missing or holds no record; without `report`, if any
    cannot be read.
    """
    records: list[Record] = []
    errors: list[GentoolError] = []
    for where, document in documents(path):
        try:
            if isinstance(document, GentoolError):
                raise document
            records.append(check_record(document, where))
        except GentoolError as error:
            errors.append(error)
    if errors and (report is None or not records):
        raise errors[0]
    if errors:
        count = f"{len(errors)} of {len(errors) + len(records)} records of {path} are left out: "
        report(count * (len(errors) > 1) + str(errors[0]))
    return records


def read_each(
    paths: list[Path],
    report: Report | None,
    read_one: Callable[[Path, Report | None], list[Record]] = read_records,
) -> list[Record]:
    """Read the records of several files; report what cannot be read, and go on.

    Raise the error at once if there is one file alone, or no `report`; raise GentoolError if no
    file can be read.
    """
    records: list[Record] = []
    for path in paths:
        try:
            records += read_one(path, report)
        except GentoolError as error:
            if report is None or len(paths) == 1:
                raise
            report(str(error))
    if not records:
        raise GentoolError(f"none of the {len(paths)} files can be read")
    return records
