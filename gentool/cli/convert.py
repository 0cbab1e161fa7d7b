"""Define `gentool convert`: rewrite foreign checkpoints as ones that describe themselves."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.checkpoints.hints import Hints
from gentool.cli import options
from gentool.cli.inputs import files_in
from gentool.cli.outputs import Job, for_each, jobs_for, say_inferred
from gentool.common.console import say
from gentool.common.errors import GentoolError, UsageError
from gentool.records.replaced import recipe_differences, replaced_checkpoint

if TYPE_CHECKING:
    from gentool.data.sources import DataSets


@options.shared
def convert(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
            help="Foreign checkpoints, saved by other programs, or folders of them.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Checkpoint to write, as OUT.safetensors; the folder for several checkpoints.",
        ),
    ],
    *,
    network: options.ForeignNetwork,
    data: options.DataOverride = None,
    training_data: options.TrainingData,
    data_folder: options.DataFolder,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Convert foreign checkpoints, saved by other programs, into ones that describe themselves.

    IN is a state dict of a VGG or an MLP: safetensors, .pt or .pth; no code in the file is run. The
    layers are inferred from names and shapes of the tensors, printed, and recorded in OUT. The
    tensors keep their names. With --data, OUT also records the training data. Of several
    checkpoints each IN.pth is written as IN.safetensors in the folder that -o names.

    \b
    Example:
      gentool convert vgg16.pth --input-shape 3x32x32 -o vgg16.safetensors
    """
    hints = options.parse_hints(network, training_data)
    if hints.data() and data is None:
        raise UsageError("--labels, --subset, --seed, --mean and --std need --data")
    files = files_in(checkpoints)
    if output.suffix != ".safetensors" and not output.is_dir():
        several = "-o names a folder that exists, or " if len(files) > 1 else ""
        raise UsageError(
            f"-o is {output}; {several}the checkpoint is written as .safetensors, so name "
            "OUT.safetensors"
        )
    jobs = jobs_for(files, str(output), ".safetensors", outputs.existing())
    for job in jobs:
        if len(jobs) > 1 and job.output.resolve() == job.checkpoint.resolve():
            raise UsageError(f"{job.output} would replace itself; name another folder with -o")
    data_sets = data_folder.data_sets(messages.quiet) if data is not None else None
    options.check_data(data)
    for_each(
        jobs, lambda job: _convert(job, hints, data, data_sets, messages.quiet), messages.debug
    )


def _convert(
    job: Job, hints: Hints, data: str | None, data_sets: "DataSets | None", quiet: bool
) -> None:
    """Read a checkpoint, print what was inferred, and write the new one."""
    import torch

    from gentool.checkpoints import checkpoint
    from gentool.checkpoints.training_data import assumed_facts, load_training_set

    read = checkpoint.read(job.checkpoint, hints)
    if read.kind == "gentool":
        raise GentoolError(
            f"{job.checkpoint} describes itself already; measure it without conversion"
        )
    if not quiet:
        say_inferred(read)
    recipe = read.recipe
    if data is not None:
        recipe, _ = load_training_set(read, torch.device("cpu"), data_sets, data=data, hints=hints)
        assumed = [*recipe.origin.get("assumed", []), *assumed_facts(read.recipe, data, hints)]
        recipe = replace(recipe, origin=recipe.origin | {"assumed": assumed})
    now = recipe.to_json()
    words = replaced_checkpoint(job.output, lambda old: recipe_differences(old.to_json(), now))
    if words and not quiet:
        say(f"note: {words}")
    checkpoint.write(job.output, read.model(), recipe, None)
