"""Define `gentool train`: train one network or a grid of networks."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from gentool.checkpoints.hints import channel_order
from gentool.cli import options
from gentool.cli.train_runs import TrainOptions, train_distributed, train_grid, train_one
from gentool.common.errors import UsageError
from gentool.common.files import Existing
from gentool.common.run_log import RunLog
from gentool.common.torchrun import is_launched
from gentool.data.reading import check_classes
from gentool.records.presets import training_options
from gentool.records.recipe import (
    Recipe,
    default_stem,
    parse_batch_norm,
    parse_labels,
)
from gentool.training.plan import PlannedRun, grid, in_folder


class TrainCommand(typer.core.TyperCommand):
    """A command whose `--batch-norm` takes a value or none, and has an opposite.

    `--batch-norm` alone is that of the model, `--no-batch-norm` is `--batch-norm none`.
    """

    def parse_args(self, ctx, args):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        return super().parse_args(ctx, with_batch_norm_value(args))


def with_batch_norm_value(arguments: list[str]) -> list[str]:
    """Return the arguments with a value after every `--batch-norm`."""
    complete: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--no-batch-norm":
            complete += ["--batch-norm", "none"]
            continue
        complete.append(argument)
        has_value = i + 1 < len(arguments) and not arguments[i + 1].startswith("-")
        if argument == "--batch-norm" and not has_value:
            complete.append("on")
    return complete


@options.shared
def train(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Option(help="Network: vgg (the paper's), vgg11, vgg13, vgg16, vgg19 or mlp.")
    ] = "vgg",
    batch_norm: Annotated[
        str | None,
        typer.Option(
            "--batch-norm",
            metavar="<str,...>",
            help="Layers with batch norm: none, conv (each convolution), hidden (the hidden linear "
            "layers) or all. --batch-norm alone is conv, hidden for an mlp; --no-batch-norm is "
            "none.",
            show_default="conv, none for an mlp",
        ),
    ] = None,
    dropout: Annotated[
        str | None,
        typer.Option(
            metavar="<float,...>",
            help="Dropout probability after each stack of a VGG and before its output, or after "
            "each hidden layer of an mlp.",
            show_default="0",
        ),
    ] = None,
    last_pool: Annotated[
        str | None,
        typer.Option(
            help="Last pooling of the paper's VGG: max or average.",
            show_default="max",
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            metavar="<float,...>",
            help="Factor on the channels of every layer of a VGG.",
            show_default="1",
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Number of hidden layers of an mlp.", show_default="1")
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="<int,...>", help="Units per hidden layer of an mlp.", show_default="512"
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: he (normal, variance 2 / fan-in) or uniform (PyTorch's default, "
            "1 / (3 fan-in)).",
            show_default="he, uniform with batch norm",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="Data set: cifar10, cifar100, mnist, fashion-mnist, kmnist, emnist, svhn, usps, "
            "digits, folder:DIR or npz:FILE."
        ),
    ] = "cifar10",
    labels: Annotated[
        str,
        typer.Option(
            metavar="<str,...>",
            help="Training labels: true, random, or the random fraction, as 0.3.",
        ),
    ] = "true",
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="<int,...>",
            help="Number of training images, drawn at random.",
            show_default="all",
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            metavar="<int,...>",
            help="Number of training images, the first of the data instead of a random draw.",
            show_default="all",
        ),
    ] = None,
    confusion: Annotated[
        str,
        typer.Option(
            metavar="<int,...>",
            help="Number of images with random labels, trained on besides --subset.",
        ),
    ] = "0",
    seed: Annotated[
        str, typer.Option(metavar="<int,...>", help="Seed of every random choice.")
    ] = "0",
    recipe: Annotated[
        str,
        typer.Option(
            help="Defaults of the options from --lr to --patience: fast, or paper (plain SGD)."
        ),
    ] = "fast",
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate; with a schedule, the highest.",
            show_default="0.01 / width, 0.04 at most; mlp and paper 0.01; adam 0.001",
        ),
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum of --optimizer sgd.", show_default="0.9")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step.", show_default="256; mlp and paper 64")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Schedule of the learning rate: constant, on-stall (halved when the loss stalls), "
            "cosine, one-cycle or exponential.",
            show_default="on-stall, paper constant",
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Number of epochs over which the learning rate rises from 0.",
            show_default="5, mlp 1, paper 0",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Give up when the loss has not fallen by 1 % in this many epochs; 0 for never.",
            show_default="30, paper 0",
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Highest number of epochs, and the length of a schedule.")
    ] = 500,
    stop_loss: Annotated[
        float,
        typer.Option(
            help="Stop at zero training error and a mean cross-entropy below this (both in "
            "evaluation mode, unless --stop-on says training)."
        ),
    ] = 0.01,
    stop_on: Annotated[
        str,
        typer.Option(
            help="Mode in which --stop-loss is compared: evaluation, or training (the running loss "
            "of an epoch, with dropout; whatever the error is)."
        ),
    ] = "evaluation",
    optimizer: Annotated[str, typer.Option(help="Optimizer: sgd or adam.")] = "sgd",
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay; with adam, decoupled (AdamW).")
    ] = 0.0,
    precision: Annotated[
        str,
        typer.Option(
            help="Precision of the matrix products of a training step: float32 (TF32 on CUDA) or "
            "bfloat16. Weights and evaluation are float32 always."
        ),
    ] = "float32",
    compile_step: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the training pass of the network with torch.compile, which takes ten "
            "seconds to a minute. Plain MLPs have a specialized training step without it.",
        ),
    ] = False,
    keep_initial: Annotated[
        bool,
        typer.Option(
            "--keep-initial", help="Save the network before training as STEM.initial.safetensors."
        ),
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Save the network every so many epochs, as STEM.epoch0010.safetensors and so on.",
            show_default="only at the end",
        ),
    ] = None,
    keep_at: Annotated[
        str | None,
        typer.Option(
            metavar="<float,...>",
            help="Save the network as STEM.loss0.1.safetensors and so on, after the first epoch "
            "whose loss in evaluation mode is below each of these.",
            show_default="only at the end",
        ),
    ] = None,
    must_fit: Annotated[
        bool, typer.Option("--must-fit", help="Exit with 1 if the stop rule was not met.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run, if there is one.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Number of processes that train a grid.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Checkpoint to write, or folder for a grid.",
            show_default="named after the recipe",
        ),
    ] = None,
    log: options.Log = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait while another process trains the same network, and keep its result.",
            show_default="an error",
        ),
    ] = False,
    *,
    images: options.ImageReading,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Train a network until it fits its training set, and save it as a checkpoint.

    Training gives up, with a message, when the loss no longer falls. The state of the run is kept
    beside the output during training, for --resume.

    Lists of values, as --labels true,random --seed 0,1,2, train a grid: one checkpoint for each
    combination. Checkpoints that exist are skipped, and interrupted runs are continued. Small MLPs
    are trained several at a time.

    \b
    Example:
      gentool train --data digits --model mlp --labels random --subset 500 --force
    """
    if first is not None and subset is not None:
        raise UsageError("--first and --subset exclude each other; name one")
    check_classes(data, images.classes)
    base = Recipe(
        model=model,
        init=init,
        data=data,
        channels=images.channels,
        resize=images.resize,
        channel_order=channel_order(images.channels_first),
        classes=images.classes,
        draw="random" if first is None else "first",
        weight_decay=weight_decay,
        epochs=epochs,
        stop_loss=stop_loss,
        stop_on=stop_on,
        precision=precision,
    )
    training_values = {
        "optimizer": optimizer,
        "lr": lr,
        "momentum": momentum,
        "batch_size": batch_size,
        "schedule": schedule,
        "warmup": warmup,
        "patience": patience,
    }
    model_options = {
        "batch_norm": batch_norm,
        "dropout": dropout,
        "last_pool": last_pool,
        "width": width,
        "depth": depth,
        "hidden": hidden,
    }
    batch_norms = (
        (None,)
        if batch_norm is None
        else tuple(parse_batch_norm(word, model) for word in batch_norm.split(","))
    )
    axes = {
        "batch_norm": batch_norms,
        "dropout": numbers("dropout", dropout, float),
        "subset": numbers("subset", subset) if first is None else numbers("first", first),
        "confusion": numbers("confusion", confusion),
        "seed": numbers("seed", seed),
        "width": numbers("width", width, float),
        "hidden": numbers("hidden", hidden),
        "labels": tuple(map(parse_labels, labels.split(","))),
    }
    networks = [
        (replace(point, **training_options(recipe, model, shape["width"], training_values)), shape)
        for point, shape in grid(base, model_options, axes)
    ]
    thresholds = () if keep_at is None else numbers("keep-at", keep_at, float)
    if not all(0 < threshold < float("inf") for threshold in thresholds):
        raise UsageError(f"--keep-at is {keep_at}; losses are positive numbers, as 0.1,0.01")
    checkpoints = {"keep_initial": keep_initial, "save_every": save_every, "keep_at": thresholds}
    train_options = TrainOptions(
        machine=machine,
        data_folder=data_folder,
        quiet=messages.quiet,
        must_fit=must_fit,
        jobs=jobs,
        is_compiled=compile_step,
        arguments=ctx.obj,
        log=None if log is None else RunLog(log),
        wait=wait,
    )
    is_grid = len(networks) > 1
    if is_grid and is_launched():
        raise UsageError("torchrun trains one network at a time; train a grid without torchrun")
    if is_launched() and compile_step:
        raise UsageError("--compile works in one process only; leave it out under torchrun")
    if is_grid or (output is not None and output.is_dir()):
        force = outputs.existing() is Existing.FORCE
        train_grid(in_folder(networks, output or Path(), **checkpoints), train_options, force)
        return
    [(asked, shape)] = networks
    path = output or Path(f"{default_stem(asked, shape)}.safetensors")
    planned = PlannedRun(asked, shape, path, **checkpoints)
    train_planned = train_distributed if is_launched() else train_one
    train_planned(planned, train_options, outputs.existing(), resume)


def numbers(
    option: str, text: str | None, kind: type[int] | type[float] = int
) -> tuple[int | float | None, ...]:
    """Return the numbers in the text of an option, as 1,2,3; (None,) if there is no text.

    Raise UsageError if the text holds anything else.
    """
    if text is None:
        return (None,)
    try:
        return tuple(map(kind, text.split(",")))
    except ValueError:
        expected = "whole numbers" if kind is int else "numbers"
        raise UsageError(
            f"Invalid value for '--{option}': {text!r}; it takes {expected}, as 1 or 1,2,3"
        ) from None
