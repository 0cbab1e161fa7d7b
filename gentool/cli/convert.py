"""Define `gentool convert`: rewrite a foreign checkpoint as one that describes itself."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.checkpoints.hints import Hints
from gentool.cli import options
from gentool.cli.outputs import say_inferred
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import check_output


@options.shared
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="IN", help="Foreign checkpoint, saved by another program.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Checkpoint to write, as OUT.safetensors.")
    ],
    *,
    network: options.ForeignNetwork,
    data: options.DataOverride = None,
    training_data: options.TrainingData,
    data_folder: options.DataFolder,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Convert a foreign checkpoint, saved by another program, into one that describes itself.

    IN is a state dict of a VGG or an MLP: safetensors, .pt or .pth; no code in the file is run. The
    layers are inferred from names and shapes of the tensors, printed, and recorded in OUT. The
    tensors keep their names. With --data, OUT also records the training data.

    \b
    Example:
      gentool convert vgg16.pth --input-shape 3x32x32 -o vgg16.safetensors
    """
    hints = options.parse_hints(network, training_data)
    if hints.data() and data is None:
        raise UsageError("--labels, --subset, --seed, --mean and --std need --data")
    if output.suffix != ".safetensors":
        raise UsageError(
            f"-o is {output}; the checkpoint is written as .safetensors, so name OUT.safetensors"
        )
    if not check_output(output, outputs.existing()):
        print(output)
        return
    _convert(checkpoint, output, hints, data, data_folder, messages.quiet)
    print(output)


def _convert(
    path: Path,
    output: Path,
    hints: Hints,
    data: str | None,
    data_folder: options.DataFolder,
    quiet: bool,
) -> None:
    """Read the checkpoint, print what was inferred, and write the new one."""
    import torch

    from gentool.checkpoints import checkpoint
    from gentool.checkpoints.training_data import load_training_set

    read = checkpoint.read(path, hints)
    if read.kind == "gentool":
        raise GentoolError(f"{path} describes itself already; measure it without conversion")
    if not quiet:
        say_inferred(read)
    recipe = read.recipe
    if data is not None:
        data_sets = data_folder.data_sets(quiet)
        recipe, _ = load_training_set(read, torch.device("cpu"), data_sets, data=data, hints=hints)
    checkpoint.write(output, read.model(), recipe, None)
