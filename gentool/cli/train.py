"""`gentool train`: from options to a checkpoint, or to a grid of them."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.cli.train_runs import TrainOptions, train_grid, train_in_team, train_one
from gentool.common.errors import UsageError
from gentool.common.files import Existing
from gentool.common.torchrun import is_launched
from gentool.records.presets import training_options
from gentool.records.recipe import Recipe, default_stem, parse_labels
from gentool.training.plan import PlannedRun, grid, in_folder


@options.shared
def train(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Option(help="vgg (the paper's), vgg11, vgg13, vgg16, vgg19 or mlp.")
    ] = "vgg",
    batch_norm: Annotated[
        bool | None,
        typer.Option(
            "--batch-norm/--no-batch-norm",
            help="After each convolution, or hidden layer of an mlp.",
            show_default="on for a VGG",
        ),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Probability, after each stack.", show_default="0")
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(metavar="<float,...>", help="Scales every layer of a VGG.", show_default="1"),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Hidden layers of an mlp.", show_default="1")
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="<int,...>", help="Units in each of them.", show_default="512"),
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
        str, typer.Option(help="cifar10, mnist, fashion-mnist, digits, folder:DIR or npz:FILE.")
    ] = "cifar10",
    labels: Annotated[
        str,
        typer.Option(
            metavar="<str,...>", help="true, random, or the fraction that is random, as 0.3."
        ),
    ] = "true",
    subset: Annotated[
        str | None,
        typer.Option(metavar="<int,...>", help="Training images to draw.", show_default="all"),
    ] = None,
    confusion: Annotated[
        str, typer.Option(metavar="<int,...>", help="Further images, with random labels.")
    ] = "0",
    seed: Annotated[
        str, typer.Option(metavar="<int,...>", help="Seed of every random choice.")
    ] = "0",
    recipe: Annotated[
        str,
        typer.Option(
            help="fast, or paper (plain SGD): what the options from --lr to --patience are "
            "unless given."
        ),
    ] = "fast",
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate, the highest of a schedule.",
            show_default="0.01 / width, 0.04 at most; mlp and paper 0.01; adam 0.001",
        ),
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum of sgd.", show_default="0.9")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step.", show_default="256; mlp and paper 64")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="constant, on-stall (halved when the loss stalls), cosine, one-cycle or "
            "exponential.",
            show_default="on-stall, paper constant",
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Epochs over which the learning rate rises from 0.",
            show_default="5, mlp 1, paper 0",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Give up after so many epochs without a loss 1 % better; 0 for never.",
            show_default="30, paper 0",
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Epochs at most, and the length of a schedule.")
    ] = 500,
    stop_loss: Annotated[
        float,
        typer.Option(
            help="Stop at zero error and mean cross-entropy below this (evaluation mode)."
        ),
    ] = 0.01,
    optimizer: Annotated[str, typer.Option(help="sgd or adam.")] = "sgd",
    weight_decay: Annotated[float, typer.Option(help="Weight decay, decoupled in adam.")] = 0.0,
    precision: Annotated[
        str,
        typer.Option(
            help="float32 (TF32 on CUDA) or bfloat16: of the products of a training step; weights "
            "and evaluation are float32 always."
        ),
    ] = "float32",
    compile_step: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the network's training pass with torch.compile: ten seconds or a minute "
            "at first. Plain MLPs have a step of their own already.",
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
            help="Save the network as STEM.epoch0010.safetensors and so on, every so many epochs.",
            show_default="at the end",
        ),
    ] = None,
    must_fit: Annotated[
        bool, typer.Option("--must-fit", help="Exit 1 if the stop rule was not met.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, if there is one.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes for a grid.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Checkpoint, or the folder of a grid.",
            show_default="named after the recipe",
        ),
    ] = None,
    *,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Train a network until it fits its training set, and save it as a checkpoint.

    It gives up, and says so, where the loss no longer falls. The state is kept beside the output
    while training, for --resume.

    Lists, as --labels true,random --seed 0,1,2, ask for a grid: one checkpoint for each
    combination, those that exist skipped, interrupted ones gone on with. Small MLPs are trained
    several at a time.

    \b
    Example:
      gentool train --data digits --model mlp --labels random --subset 500 --force
    """
    asked = Recipe(
        model=model,
        init=init,
        data=data,
        weight_decay=weight_decay,
        epochs=epochs,
        stop_loss=stop_loss,
        precision=precision,
    )
    given = {
        "optimizer": optimizer,
        "lr": lr,
        "momentum": momentum,
        "batch_size": batch_size,
        "schedule": schedule,
        "warmup": warmup,
        "patience": patience,
    }
    shape = {
        "batch_norm": batch_norm,
        "dropout": dropout,
        "width": width,
        "depth": depth,
        "hidden": hidden,
    }
    axes = {
        "subset": numbers("subset", subset),
        "confusion": numbers("confusion", confusion),
        "seed": numbers("seed", seed),
        "width": numbers("width", width, float),
        "hidden": numbers("hidden", hidden),
        "labels": tuple(map(parse_labels, labels.split(","))),
    }
    networks = [
        (replace(one, **training_options(recipe, model, chosen["width"], given)), chosen)
        for one, chosen in grid(asked, shape, axes)
    ]
    along_the_way = {"keep_initial": keep_initial, "save_every": save_every}
    settings = TrainOptions(
        machine=machine,
        data_folder=data_folder,
        quiet=messages.quiet,
        must_fit=must_fit,
        jobs=jobs,
        is_compiled=compile_step,
        arguments=ctx.obj,
    )
    is_team = is_launched()
    is_grid = len(networks) > 1
    if is_grid and is_team:
        raise UsageError("torchrun trains one network at a time; start a grid without it")
    if is_team and compile_step:
        raise UsageError("--compile is for one process; leave it out under torchrun")
    if is_grid or (output is not None and output.is_dir()):
        force = outputs.existing() is Existing.FORCE
        train_grid(in_folder(networks, output or Path(), **along_the_way), settings, force)
        return
    [(asked, shape)] = networks
    path = output or Path(f"{default_stem(asked, shape)}.safetensors")
    planned = PlannedRun(asked, shape, path, **along_the_way)
    train_alone_or_not = train_in_team if is_team else train_one
    train_alone_or_not(planned, settings, outputs.existing(), resume)


def numbers(
    option: str, text: str | None, kind: type[int] | type[float] = int
) -> tuple[int | float | None, ...]:
    """The values of an option that may be a list, as 1,2,3; UsageError for what is no number."""
    if text is None:
        return (None,)
    try:
        return tuple(map(kind, text.split(",")))
    except ValueError:
        known = "whole numbers" if kind is int else "numbers"
        raise UsageError(
            f"Invalid value for '--{option}': {text!r}; it takes {known}, as 1 or 1,2,3"
        ) from None
