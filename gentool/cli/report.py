"""Define `gentool report`: one page of HTML on measure files. Imports torch when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options, table_options
from gentool.cli.inputs import RecordFiles
from gentool.cli.lists import listed
from gentool.common.console import print_content, print_path
from gentool.common.errors import UsageError
from gentool.common.files import check_output, write_whole

SUFFIXES = (".html", ".htm")


@options.shared
def report(
    files: table_options.Files,
    columns: table_options.Columns = None,
    where: table_options.Where = None,
    sort: table_options.Sort = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the page.", show_default="number of networks")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Page to write: .html; - for stdout.")
    ] = "report.html",
    *,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Write a report on networks: one page of HTML, which opens without the internet.

    The page has the table of networks, to be sorted and filtered; the figures that the measure
    files allow; the verdicts on the paper's claims; the measures ranked by their correlation with
    the generalization gap; the norms of each layer; and how each number was made. Files about the
    same checkpoint are joined. The same files give the same page.

    \b
    Example:
      gentool report ./*.measures.json ./*.sharpness.json --force -o report.html
    """
    from gentool.records.conditions import parse_condition

    path = None if output == "-" else Path(output)
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} is no page that can be written; its name ends in .html")
    conditions = tuple(map(parse_condition, where or []))
    keys, order = listed("columns", columns) or (), listed("sort", sort) or ()
    if path is not None and not check_output(path, outputs.existing()):
        print_path(path)
        return
    from gentool.figures.report.page import ReportOptions, report_page
    from gentool.records.reading import read_each

    found = RecordFiles(files)
    tell = None if messages.debug else found.report
    records = read_each(found.paths, tell, passes_over=found.passes_over)
    page = report_page(records, ReportOptions(title, keys, order, conditions))
    if path is None:
        print_content(page)
    else:
        write_whole(path, page)
        print_path(path)
    found.check()
