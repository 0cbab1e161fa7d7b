"""`gentool inspect`: what is in a checkpoint, as a table for people or as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.checkpoints.hints import Hints
from gentool.cli import options
from gentool.cli.outputs import Job, for_each, jobs_for, say_inferred
from gentool.common.console import print_table, say

if TYPE_CHECKING:
    from gentool.common.json import Json


@options.shared
def inspect(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CKPT...", help="Checkpoints.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Also JSON: a file, a folder for several checkpoints, or - for stdout.",
            show_default="none",
        ),
    ] = None,
    *,
    network: options.ForeignNetwork,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Show what checkpoints hold: layers, sizes, recipe, outcome, digest.

    A table goes to stderr; with -o - the same as JSON to stdout, one object a line. Checkpoints of
    other programs are shown as they are inferred to be. No weight is loaded into a network.

    \b
    Example:
      gentool inspect mlp-digits-random-500-seed0.safetensors -o - | python3 -m json.tool
    """
    hints = options.parse_hints(network)
    where = "-" if output is None else output
    jobs = jobs_for(checkpoints, where, "inspect", outputs.existing())
    for_each(
        jobs, lambda job: _inspect(job, hints, output is not None, messages.quiet), messages.debug
    )


def _inspect(job: Job, hints: Hints, with_json: bool, quiet: bool) -> None:
    from gentool.checkpoints import checkpoint
    from gentool.checkpoints.inspection import inspect_checkpoint

    read = checkpoint.read(job.checkpoint, hints)
    found = inspect_checkpoint(read)
    if with_json:
        job.write(found)
    if not quiet:
        say_inferred(read)
        _show(found)


def _show(found: "Json") -> None:
    """The layers as one table, and what is known of the whole file as another."""
    rows = [
        [
            layer["name"],
            layer["type"],
            _sizes(layer["shape"]),
            _sizes(layer["output_shape"]),
            f"{layer['units']:,}",
            f"{layer['parameters']:,}",
        ]
        for layer in found["layers"]
    ]
    total = f"{found['parameters']:,}"
    rows.append(["all", "", "", "", "", total])
    columns = ["layer", "type", "weight", "output", "units", "parameters"]
    print_table(found["checkpoint"]["file"], columns, rows)
    recipe = {name: value for name, value in found["recipe"].items() if name not in _ELSEWHERE}
    outcome = {k: v for k, v in (found["outcome"] or {}).items() if k != "history"}
    about = {"sha256": found["checkpoint"]["sha256"], "kind": found["kind"]} | recipe | outcome
    about |= {f"version of {name}": value for name, value in (found["versions"] or {}).items()}
    print_table("", ["what", "value"], [[k, _text(v)] for k, v in about.items() if v is not None])
    if (origin := found["recipe"]["origin"]) and found["kind"] == "gentool":
        words = "; ".join(map(str, origin.get("inferred", [])))
        say(f"note: converted from {origin.get('file')}, of which was inferred: {words}")
    for name in found["not_finite"]:
        say(f"note: {name} has values that are NaN or infinite")


_ELSEWHERE = ("layers", "origin")


def _sizes(shape: list[int] | None) -> str:
    return "x".join(map(str, shape)) if shape else "-"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
