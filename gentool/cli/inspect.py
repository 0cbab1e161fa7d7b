"""Define `gentool inspect`: show the content of a checkpoint as tables or as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.checkpoints.hints import Hints
from gentool.cli import options
from gentool.cli.declaring import Command, Enables
from gentool.cli.outputs import Job, for_each, jobs_for, say_evaluation, say_inferred
from gentool.common.console import print_path, say
from gentool.common.errors import UsageError
from gentool.common.files import check_output, write_whole
from gentool.common.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from gentool.checkpoints.checkpoint import Checkpoint
    from gentool.common.json import Json


class InspectCommand(Command):
    """A command in which `--layers` without a file asks for the list of layers."""

    def parse_args(self, ctx, args):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        followed = [*args[1:], "-"]
        return super().parse_args(
            ctx,
            [
                "--write-layers" if name == "--layers" and after.startswith("-") else name
                for name, after in zip(args, followed, strict=True)
            ],
        )


@options.shared
def inspect(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CKPT...", help="Checkpoints, or folders of them.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=options.OUTPUT,
            help="JSON output too: file, folder for several checkpoints, or - for stdout.",
            show_default="none",
        ),
        Enables("force", "skip_existing"),
    ] = None,
    write_layers: Annotated[
        bool,
        typer.Option(
            "--write-layers",
            help="Write the list of layers to -o instead, to be edited and given back with "
            "--layers FILE. --layers without a file means the same.",
        ),
    ] = False,
    data: options.DataOverride = None,
    *,
    network: options.ForeignNetwork,
    training_data: options.TrainingData,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Show the content of checkpoints: layers, sizes, recipe, outcome, digest.

    Tables are printed on stderr. With -o - the content is also printed on stdout as JSON, one
    object a line. Foreign checkpoints, saved by other programs, are shown with the inferred
    architecture. No weights are loaded into a network, unless --data or another option about the
    training data is given: then loss and error of the network as read are shown too.

    \b
    Example:
      gentool inspect mlp-digits-random-500-seed0.safetensors -o - |
        python3 -m json.tool
    """
    hints = options.parse_hints(network, training_data)
    if write_layers:
        if len(checkpoints) > 1 or output in (None, "-"):
            raise UsageError("--write-layers takes one checkpoint and a file, as -o layers.json")
        _write_layers(checkpoints[0], Path(output), hints, outputs)
        return
    destination = "-" if output is None else output
    jobs = jobs_for(checkpoints, destination, ".inspect.json", outputs.existing())
    evaluate = None
    if data is not None or hints.data():
        options.check_data(data)
        evaluate = _evaluation(data, hints, data_folder, machine, messages.quiet)
    for_each(
        jobs,
        lambda job: _inspect(job, hints, evaluate, output is not None, messages.quiet),
        messages.debug,
    )


def _evaluation(
    data: str | None,
    hints: Hints,
    data_folder: options.DataFolder,
    machine: options.Machine,
    quiet: bool,
) -> "Callable[[Checkpoint], Json]":
    """Return a function that evaluates a checkpoint on the data that the options name."""
    from gentool.checkpoints.set_evaluation import evaluate_checkpoint

    device, data_sets = machine.use_device(), data_folder.data_sets(quiet)
    return lambda read: evaluate_checkpoint(
        read, device=device, data_sets=data_sets, data=data, hints=hints
    )


def _write_layers(path: Path, output: Path, hints: Hints, outputs: options.Outputs) -> None:
    """Write the list of layers of a checkpoint as JSON, and print the path of the file."""
    from gentool.checkpoints import checkpoint
    from gentool.checkpoints.module import layers_as_text, layers_of

    if check_output(output, outputs.existing()):
        read = checkpoint.read(path, hints)
        text = layers_as_text(layers_of(read.recipe), read.recipe.input_shape)
        write_whole(output, text.encode())
    print_path(output)


def _inspect(
    job: Job,
    hints: Hints,
    evaluate: "Callable[[Checkpoint], Json] | None",
    with_json: bool,
    quiet: bool,
) -> None:
    """Inspect one checkpoint: write JSON if asked to, and print tables."""
    from gentool.checkpoints import checkpoint
    from gentool.checkpoints.inspection import inspect_checkpoint

    read = checkpoint.read(job.checkpoint, hints)
    content = inspect_checkpoint(read, None if evaluate is None else evaluate(read))
    if with_json:
        job.write(content)
    if not quiet:
        say_inferred(read)
        _show(content)
        if content["evaluation"] is not None:
            say_evaluation(job.checkpoint.name, content["evaluation"])


def _show(content: "Json") -> None:
    """Print a table of the layers, a table of the whole file, and notes."""
    rows = [
        [
            layer["name"],
            layer["type"],
            _sizes(layer["shape"]),
            "unknown" if layer["output_shape"] is None else _sizes(layer["output_shape"]),
            "unknown" if layer["units"] is None else f"{layer['units']:,}",
            f"{layer['parameters']:,}",
        ]
        for layer in content["layers"]
    ]
    total = f"{content['parameters']:,}"
    rows.append(["all", "", "", "", "", total])
    columns = ["layer", "type", "weight", "output", "units", "parameters"]
    print_table(content["checkpoint"]["file"], columns, rows)
    recipe = {
        name: value for name, value in content["recipe"].items() if name not in _SHOWN_ELSEWHERE
    }
    outcome = {k: v for k, v in (content["outcome"] or {}).items() if k != "history"}
    about = {"sha256": content["checkpoint"]["sha256"], "kind": content["kind"]} | recipe | outcome
    about |= {f"version of {name}": value for name, value in (content["versions"] or {}).items()}
    print_table(
        "",
        ["property", "value"],
        [[k, _text(v)] for k, v in about.items() if v is not None],
        ends_in_text=True,
    )
    if (origin := content["recipe"]["origin"]) and content["kind"] == "gentool":
        words = "; ".join(map(str, origin.get("inferred", [])))
        say(f"note: converted from {origin.get('file')}; inferred from this file: {words}")
    for name in content["not_finite"]:
        say(f"note: {name} has values that are NaN or infinite")


_SHOWN_ELSEWHERE = ("layers", "origin")


def _sizes(shape: list[int] | None) -> str:
    return "x".join(map(str, shape)) if shape else "-"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
