"""Assemble the commands into one application, and turn errors into messages and exit codes.

The trap avoided: torch takes seconds to import, so commands import it only when they compute.
"""

import os
import sys
from typing import Annotated

import typer
import typer.core

from gentool.cli.claims import claims
from gentool.cli.convert import convert
from gentool.cli.declaring import Command, help_text, plainly_shown
from gentool.cli.examples import examples
from gentool.cli.inspect import InspectCommand, inspect
from gentool.cli.measure import measure
from gentool.cli.messages import interruption, message_and_code, rest_of
from gentool.cli.plot import plot
from gentool.cli.report import report
from gentool.cli.sharpness import sharpness
from gentool.cli.table import table
from gentool.cli.train import TrainCommand, train
from gentool.cli.verify import verify
from gentool.common import stops
from gentool.common.console import print_exception, say, use_escapes
from gentool.common.errors import GentoolError, Interrupted
from gentool.common.torchrun import is_main_process
from gentool.common.version import __version__


class TwoWordCommands(typer.core.TyperGroup):
    """Find commands whose names have two words, as `sharpness verify`.

    A nested group would not do: `sharpness` itself takes checkpoints as arguments.
    """

    def resolve_command(self, ctx, args):  # noqa: ANN001, ANN201 - click's types; typer hides them
        if " ".join(args[:2]) in self.commands:
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx):  # noqa: ANN001, ANN201 - the same
        """Run the command; tell of an interrupt how to go on, where the command does not."""
        try:
            return super().invoke(ctx)
        except Interrupted as error:
            if not error.left:
                raise
            raise Interrupted(f"{error}; {rest_of(ctx.obj)}") from None
        except KeyboardInterrupt:
            raise Interrupted(interruption(ctx.obj)) from None

    def get_params(self, ctx):  # noqa: ANN001, ANN201 - click's types; typer hides them
        return plainly_shown(super().get_params(ctx))


app = typer.Typer(
    cls=TwoWordCommands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=TrainCommand)(train)
app.command(cls=Command)(measure)
app.command(cls=Command)(sharpness)
app.command("verify", cls=Command)(verify)
app.command("sharpness verify", cls=Command, hidden=True)(verify)  # as earlier versions call it
app.command(cls=InspectCommand)(inspect)
app.command(cls=Command)(convert)
app.command(cls=Command)(plot)
app.command(cls=Command)(table)
app.command(cls=Command)(claims)
app.command(cls=Command)(report)
app.command(cls=Command)(examples)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        print(f"gentool {__version__}")
        raise typer.Exit


INTRODUCTION = help_text(
    """Study why deep networks generalize: train networks, measure them, plot the measures.

    Each command reads and writes files, and prints the paths of the files that it wrote. `gentool
    COMMAND --help` explains a command.

    \b
    Example:
      ckpt=$(gentool train --data digits --model mlp --force)
      gentool measure --force "$ckpt"
      gentool plot --force ./*.measures.json -o figure.png
    """
)


@app.callback(help=INTRODUCTION)
def gentool(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


SPIN_COUNT = "10000"  # busy-waiting of GNU OpenMP's threads before they sleep; default 300,000


def main() -> None:
    """Run the command line and exit with its code."""
    # OpenMP's threads busy-wait for each other. When other programs need the cores too, that makes
    # many small steps many times slower. OpenMP reads the variable when torch is imported; a user's
    # own policy stays in force.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    sys.excepthook = print_exception
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code.

    0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
    An error is one line on stderr.
    """
    use_escapes()
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    with stops.handled():
        return _run(arguments or ["--help"])


def _run(arguments: list[str]) -> int:
    """Run a command and return its exit code; signals that stop it are handled."""
    try:
        # `train` repeats its own arguments in the message on how to resume.
        code = app(arguments, prog_name="gentool", standalone_mode=False, obj=tuple(arguments)) or 0
        if code == Interrupted.exit_code:  # typer catches an interrupt while it reads the options
            raise KeyboardInterrupt
        return code
    except (Interrupted, KeyboardInterrupt) as error:
        if is_main_process():
            say(str(error) or interruption(arguments))
        return stops.exit_code()
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the pipe has ended: no message, no traceback at exit
        return 1
    except Exception as error:
        if "--debug" in arguments:
            raise
        if stops.is_cause_of(error):
            say(interruption(arguments))
            return stops.exit_code()
        message, code = message_and_code(error)
        if is_main_process() or not isinstance(error, GentoolError):
            say(message)  # under torchrun every process raises a GentoolError, and rank 0 prints it
        return code
