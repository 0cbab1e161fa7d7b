"""Read the records of many files, each with one record or several. No torch."""

from collections.abc import Callable
from pathlib import Path

from gentool.common.errors import GentoolError
from gentool.records.file_kind import TAKEN_BY
from gentool.records.json_documents import documents
from gentool.records.measure_file import Record, check_record
from gentool.records.other_outputs import OtherOutputError, other_output

Report = Callable[[str], None]


def read_records(path: Path, report: Report | None = None) -> list[Record]:
    """Read all records of a file, in their order; `-` is the standard input.

    `report` is told how many of several records cannot be read, and why the first of them. Raise
    GentoolError, naming the file, if it is missing or holds no record; without `report`, if any
    cannot be read. It is an OtherOutputError if all of the file is another output of gentool.
    """
    records: list[Record] = []
    errors: list[GentoolError] = []
    for where, document in documents(path):
        try:
            if isinstance(document, GentoolError):
                raise document
            if other := other_output(document):
                raise OtherOutputError(f"{where} is {other}, not a measure file; {TAKEN_BY[other]}")
            records.append(check_record(document, where))
        except GentoolError as error:
            errors.append(error)
    if errors and (report is None or not records):
        raise next((e for e in errors if not isinstance(e, OtherOutputError)), errors[0])
    if errors:
        count = f"{len(errors)} of {len(errors) + len(records)} records of {path} are left out: "
        report(count * (len(errors) > 1) + str(errors[0]))
    return records


def read_each(
    paths: list[Path],
    report: Report | None,
    read_one: Callable[[Path, Report | None], list[Record]] = read_records,
    passes_over: Callable[[Path], bool] = lambda path: False,
) -> list[Record]:
    """Read the records of several files; report what cannot be read, and go on.

    `passes_over` is asked, of a file that holds another output of gentool, whether it is left aside
    without a word, as one of a folder is. Raise the error at once if there is one file alone, or no
    `report`; raise GentoolError if no file can be read.
    """
    records: list[Record] = []
    passed = 0
    for path in paths:
        try:
            records += read_one(path, report)
        except GentoolError as error:
            if isinstance(error, OtherOutputError) and passes_over(path):
                passed += 1
                continue
            if report is None or len(paths) == 1:
                raise
            report(str(error))
    if not records and passed == len(paths):
        raise GentoolError(
            f"no measure file is among the {passed} files of the folder; gentool measure makes one"
        )
    if not records:
        raise GentoolError(f"none of the {len(paths)} files can be read")
    return records
