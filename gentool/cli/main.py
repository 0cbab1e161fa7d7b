"""The command line: options in, one call, files out. No mathematics, no torch before its time."""

import os
import sys
from typing import Annotated

import typer
import typer.core

from gentool.cli.claims import claims
from gentool.cli.convert import convert
from gentool.cli.inspect import inspect
from gentool.cli.measure import measure
from gentool.cli.plot import plot
from gentool.cli.sharpness import sharpness
from gentool.cli.train import train
from gentool.cli.verify import verify
from gentool.common.console import say
from gentool.common.errors import GentoolError, Interrupted
from gentool.common.torchrun import is_main_process
from gentool.common.version import __version__


class TwoWords(typer.core.TyperGroup):
    """A group whose commands may have names of two words, as `sharpness verify`.

    `sharpness` itself takes checkpoints, which a group of its own could not.
    """

    def resolve_command(self, ctx, args):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        if " ".join(args[:2]) in self.commands:
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)


# Without rich's boxes an error is one line, and --help starts in half the time.
app = typer.Typer(
    cls=TwoWords, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
app.command()(train)
app.command()(measure)
app.command()(sharpness)
app.command("sharpness verify")(verify)
app.command()(inspect)
app.command()(convert)
app.command()(plot)
app.command()(claims)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"gentool {__version__}")
        raise typer.Exit


@app.callback()
def gentool(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Study why deep networks generalize: train them, measure them, plot the measures.

    Each command reads and writes files, and prints the paths that it wrote.

    \b
    Example:
      ckpt=$(gentool train --data digits --model mlp --force)
      gentool measure --force "$ckpt" && gentool plot --force ./*.measures.json -o figure.png
    """


SPINS = "10000"  # of GNU OpenMP's threads before they sleep, 300,000 by default


def main() -> None:
    """Run the command line: one line on stderr for every error, and its exit code."""
    # Threads that wait for each other spin: beside other programs, that makes what is done in small
    # steps many times slower. Read when torch is loaded; who has a policy of their own keeps it.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code.

    0 done, 1 it cannot be done, 2 wrongly asked, 130 interrupted.
    """
    if not arguments:
        arguments = ["--help"]
    try:
        given = tuple(arguments)  # for the command that tells how to go on
        code = app(arguments, prog_name="gentool", standalone_mode=False, obj=given) or 0
        if code == Interrupted.exit_code:  # typer has caught the KeyboardInterrupt and said nothing
            say("interrupted; no files but those named on stdout were written")
        return code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nobody is there to be told
        return 1
    except Exception as error:
        if "--debug" in arguments:
            raise
        message, code = _explained(error)
        if is_main_process() or not isinstance(error, GentoolError):
            say(message)  # under torchrun every process raises a GentoolError, and rank 0 prints it
        return code


def _explained(error: Exception) -> tuple[str, int]:
    """One line and an exit code for an error."""
    if isinstance(error, GentoolError):
        return str(error), error.exit_code
    usage_error = typer.BadParameter.__bases__[0]  # typer shows it under no name of its own
    if isinstance(error, usage_error):
        return f"{error.format_message()} (--help shows the options)", 2
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return "out of memory; lower --batch-size, take a smaller --subset or another --device", 1
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}", 1
    return f"{type(error).__name__}: {error} (a defect of gentool; --debug shows where)", 1
