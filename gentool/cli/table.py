"""Define `gentool table`: networks as rows, keys as columns. Imports no torch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options, table_options
from gentool.cli.choices import TableFormat
from gentool.cli.declaring import Enables, Excludes
from gentool.cli.inputs import RecordFiles
from gentool.cli.lists import listed
from gentool.common.console import print_content, print_path, say
from gentool.common.errors import UsageError
from gentool.common.files import check_output, write_whole
from gentool.common.text import printable

if TYPE_CHECKING:
    from gentool.records.table import Table


@options.shared
def table(
    files: table_options.Files,
    columns: table_options.Columns = None,
    where: table_options.Where = None,
    sort: table_options.Sort = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            help="Average over seeds (mean, standard deviation, n) for each value of these keys. "
            "Networks that differ in more than the seed have rows of their own.",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show a row a weight layer: sizes and norms.")
    ] = False,
    digits: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=17,
            help="Significant digits in the terminal, in Markdown and in LaTeX.",
            show_default="4",
        ),
    ] = None,
    list_keys: Annotated[
        bool,
        typer.Option("--list", help="Print all keys of these files, and what they mean."),
        Excludes(
            *("columns", "where", "sort", "group_by", "layers", "digits"),
            *("file_format", "output", "force", "skip_existing"),
        ),
    ] = False,
    file_format: Annotated[
        TableFormat | None,
        typer.Option(
            "--format",
            help="Format of the output: csv, md, tex, jsonl or parquet.",
            show_default="by the ending of -o",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .csv, .md, .tex (booktabs), .jsonl or .parquet; - for stdout.",
            show_default="the terminal",
        ),
        Enables("force", "skip_existing"),
    ] = None,
    *,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Show networks as a table: a row a network, a column a key.

    Files about the same checkpoint are joined. A key is a measure (l2), gap (test error minus
    training error), loss_gap, or a dotted path (recipe.subset, outcome.test_error). The table is
    printed on stdout, or written to the file of -o: .csv, .jsonl and .parquet hold all digits.

    \b
    Example:
      gentool table ./*.measures.json ./*.sharpness.json --force -o table.csv
    """
    from gentool.records.conditions import parse_condition
    from gentool.records.measure_file import merge
    from gentool.records.reading import read_each
    from gentool.records.table import TableOptions, make_table
    from gentool.records.table_files import DIGITS, as_bytes, format_of

    chosen = TableOptions(
        listed("columns", columns) or (),
        tuple(map(parse_condition, where or [])),
        listed("sort", sort) or (),
        listed("group-by", group_by) or (),
        layers,
    )
    is_file = output is not None or file_format is not None
    path = None if output in (None, "-") else Path(output)
    kind = format_of(path, file_format or ("jsonl" if output == "-" else None)) if is_file else None
    if digits is not None and kind in ("csv", "jsonl", "parquet"):
        raise UsageError(f"--digits has no meaning for .{kind}, which holds all digits")
    if path is not None and not check_output(path, outputs.existing()):
        print_path(path)
        return
    found = RecordFiles(files)
    report = None if messages.debug else found.report
    networks = merge(read_each(found.paths, report, passes_over=found.passes_over))
    if list_keys:
        _print_keys(networks)
    else:
        made = make_table(networks, chosen)
        if kind is None:
            _show(made, digits or DIGITS, len(networks), messages.quiet)
        else:
            content = as_bytes(made, kind, digits or DIGITS)
            if path is None:
                print_content(content)
            else:
                write_whole(path, content)
                print_path(path)
            if not messages.quiet:
                for note in made.notes:
                    say(f"note: {note}")
    found.check()


def _print_keys(networks: list[dict]) -> None:
    """Print each key of the networks with its meaning, one a line."""
    from gentool.records.key_words import explanation
    from gentool.records.measure_file import known_keys

    keys = known_keys(networks)
    width = max(map(len, keys))
    for key in keys:
        print(printable(f"{key:{width}}  {explanation(key)}".rstrip()))


def _show(made: "Table", digits: int, networks: int, quiet: bool) -> None:
    """Print a table on stdout, and the meaning of its columns and its notes on stderr."""
    from gentool.common.tables import print_explanations, print_table
    from gentool.records.cells import in_words
    from gentool.records.key_words import explanation, head
    from gentool.records.keys import FILE

    kept = [i for i, key in enumerate(made.columns) if key != FILE or not made.files_can_go]
    columns = [made.columns[i] for i in kept]
    rows = [[in_words(row[i], digits) for i in kept] for row in made.rows]
    words = sum(i < made.words for i in kept)
    print_table("", [head(key) for key in columns], rows, words, file=sys.stdout)
    sys.stdout.flush()
    if not quiet:
        print_explanations((head(key), explanation(key)) for key in columns)
        for note in made.notes:
            say(f"note: {note}")
