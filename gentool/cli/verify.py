"""Define `gentool verify`: check a claimed sharpness by one pass over the data."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.cli.outputs import say_evaluation, say_inferred
from gentool.common.console import say


@options.shared
def verify(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="Checkpoint of the network.")],
    witness: Annotated[
        Path, typer.Argument(metavar="WITNESS", help="Witness file with the claimed sharpness.")
    ],
    data: options.DataOverride = None,
    *,
    network: options.ForeignNetwork,
    training_data: options.TrainingData,
    data_folder: options.DataFolder,
    machine: options.Machine,
    messages: options.Messages,
) -> None:
    """Verify a witness: rebuild the perturbed network and evaluate it over the training set.

    Prints the recomputed sharpness. Exits with 1 if the witness belongs to another checkpoint, if
    the point is outside of the box, or if the rise differs from the claimed one.

    \b
    Example:
      gentool verify mlp-digits-random-500-seed0.safetensors worst.witness
    """
    hints = options.parse_hints(network, training_data)
    device = machine.use_device()
    from gentool.checkpoints import checkpoint as checkpoints
    from gentool.sharpness.inputs import load_inputs
    from gentool.sharpness.witness import check_checkpoint, read
    from gentool.sharpness.witness import verify as judge

    claimed, read_checkpoint = read(witness), checkpoints.read(checkpoint, hints)
    check_checkpoint(witness, claimed, read_checkpoint)
    inputs = load_inputs(
        read_checkpoint,
        fold_batch_norm=claimed.claim.folded,
        data=data,
        device=device,
        data_sets=data_folder.data_sets(messages.quiet),
        hints=hints,
    )
    if not messages.quiet:
        say_inferred(read_checkpoint)
        say_evaluation(checkpoint.name, inputs.evaluation)
    verdict = judge(claimed, inputs.network, inputs.sets.all)
    verdict.check(witness)
    print(repr(verdict.rise), flush=True)
    if not messages.quiet:
        say(
            f"{witness} holds: at a point in the box of alpha {claimed.claim.alpha:g} the training "
            f"loss rises by {verdict.rise:.6g} from {verdict.loss_before:.6g}"
        )
