"""Declare the options of `gentool train`, in groups that are panels of its help.

Most take lists, as 0.01,0.1: several values of any of them train a grid. A repeated option takes
the place of the earlier one, so that a script can be given other values at its end.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from gentool.cli import options
from gentool.cli.choices import BATCH_NORMS, DATA_SETS, MODELS, OPTIMIZERS, PRESETS, SCHEDULES
from gentool.cli.declaring import Excludes
from gentool.cli.lists import completing, listed, numbers
from gentool.common.errors import UsageError
from gentool.records.recipe import parse_labels

Texts = str | None  # not a list: an option at the end of a script's takes the place of its own
Values = dict[str, tuple]
"""The values of each option that was given, by the name of its field in a recipe."""


@dataclass(frozen=True)
class DataOptions:
    """Hold the options that choose the training data."""

    panel: ClassVar[str] = options.DATA

    data: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=lambda: [*DATA_SETS, "folder:", "npz:"],
            help="Data set: cifar10, cifar100, mnist, fashion-mnist, kmnist, emnist, svhn, usps, "
            "digits, folder:DIR or npz:FILE.",
        ),
    ] = "cifar10"
    labels: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: ("true", "random")),
            help="Training labels: true, random, or the random fraction, as 0.3.",
            show_default="true",
        ),
    ] = None
    subset: Annotated[
        Texts,
        typer.Option(
            min=1,
            max=options.MOST,
            metavar="N,...",
            help="Number of training images, drawn at random.",
            show_default="all",
        ),
    ] = None
    first: Annotated[
        Texts,
        typer.Option(
            min=1,
            max=options.MOST,
            metavar="N,...",
            help="Number of training images, the first of the data instead of a random draw.",
            show_default="all",
        ),
    ] = None
    confusion: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.MOST,
            metavar="N,...",
            help="Number of images with random labels, trained on besides --subset.",
            show_default="0",
        ),
    ] = None
    seed: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.LAST_SEED,
            metavar="N,...",
            help="Seed of every random choice.",
            show_default="0",
        ),
    ] = None

    def values(self) -> Values:
        """Return what was given of labels, sizes and seed."""
        if self.first and self.subset:
            raise UsageError("--first and --subset exclude each other; name one")
        labels = listed("labels", self.labels)
        return {
            "subset": numbers("subset", self.subset) or numbers("first", self.first),
            "confusion": numbers("confusion", self.confusion),
            "seed": numbers("seed", self.seed),
            "labels": labels and tuple(map(parse_labels, labels)),
        }


@dataclass(frozen=True)
class ModelOptions:
    """Hold the options that choose the network."""

    panel: ClassVar[str] = "Model"

    model: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: MODELS),
            help="Network: vgg (the paper's), vgg11, vgg13, vgg16, vgg19 or mlp.",
            show_default="vgg",
        ),
    ] = None
    batch_norm: Annotated[
        Texts,
        typer.Option(
            "--batch-norm",
            metavar="NAME,...",
            autocompletion=completing(lambda: BATCH_NORMS),
            help="Layers with batch norm: none, conv (each convolution), hidden (the hidden linear "
            "layers) or all. --batch-norm alone is conv, hidden for an mlp; --no-batch-norm is "
            "none.",
            show_default="conv, none for an mlp",
        ),
    ] = None
    dropout: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=1,
            metavar="X,...",
            help="Dropout probability after each stack of a VGG and before its output, or after "
            "each hidden layer of an mlp.",
            show_default="0",
        ),
    ] = None
    last_pool: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: ("max", "average")),
            help="Last pooling of the paper's VGG: max or average.",
            show_default="max",
        ),
    ] = None
    width: Annotated[
        Texts,
        typer.Option(
            min=0.001,
            max=1000,
            metavar="X,...",
            help="Factor on the channels of every layer of a VGG.",
            show_default="1",
        ),
    ] = None
    depth: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=1000,
            metavar="N,...",
            help="Number of hidden layers of an mlp.",
            show_default="1",
        ),
    ] = None
    hidden: Annotated[
        Texts,
        typer.Option(
            min=1,
            max=10**7,
            metavar="N,...",
            help="Units per hidden layer of an mlp.",
            show_default="512",
        ),
    ] = None
    init: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: ("he", "uniform")),
            help="Initial weights: he (normal, variance 2 / fan-in) or uniform (PyTorch's default, "
            "1 / (3 fan-in)).",
            show_default="he, uniform with batch norm",
        ),
    ] = None

    def values(self) -> Values:
        """Return what was given; the words of --batch-norm are read with the model."""
        return {
            "model": listed("model", self.model),
            "init": listed("init", self.init),
            "batch_norm": listed("batch-norm", self.batch_norm),
            "dropout": numbers("dropout", self.dropout, float),
            "last_pool": listed("last-pool", self.last_pool),
            "width": numbers("width", self.width, float),
            "depth": numbers("depth", self.depth),
            "hidden": numbers("hidden", self.hidden),
        }


@dataclass(frozen=True)
class OptimisationOptions:
    """Hold the options of the steps of training."""

    panel: ClassVar[str] = "Optimisation"

    recipe: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: PRESETS),
            help="Defaults of --init, --stop-loss and --lr to --patience: fast, or paper.",
            show_default="fast",
        ),
    ] = None
    lr: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.LARGEST,
            metavar="X,...",
            help="Learning rate; with a schedule, the highest.",
            show_default="0.01 / width, 0.04 at most; mlp and paper 0.01; adam 0.001",
        ),
    ] = None
    momentum: Annotated[
        Texts,
        typer.Option(
            min=0, max=1, metavar="X,...", help="Momentum of --optimizer sgd.", show_default="0.9"
        ),
    ] = None
    batch_size: Annotated[
        Texts,
        typer.Option(
            min=1,
            max=options.MOST,
            metavar="N,...",
            help="Images per step.",
            show_default="256; mlp and paper 64",
        ),
    ] = None
    schedule: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: SCHEDULES),
            help="Schedule of the learning rate: constant, on-stall (halved when the loss stalls), "
            "cosine, one-cycle or exponential.",
            show_default="on-stall, paper constant",
        ),
    ] = None
    warmup: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.MOST,
            metavar="X,...",
            help="Number of epochs over which the learning rate rises from 0.",
            show_default="5, mlp 1, paper 0",
        ),
    ] = None
    optimizer: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: OPTIMIZERS),
            help="Optimizer: sgd or adam.",
            show_default="sgd",
        ),
    ] = None
    weight_decay: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.LARGEST,
            metavar="X,...",
            help="Weight decay; with adam, decoupled (AdamW).",
            show_default="0",
        ),
    ] = None
    precision: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: ("float32", "bfloat16")),
            help="Precision of the matrix products of a training step: float32 (TF32 on CUDA) or "
            "bfloat16. Weights and evaluation are float32 always.",
            show_default="float32",
        ),
    ] = None

    def values(self) -> Values:
        """Return what was given; `preset` is the value of --recipe."""
        return {
            "preset": listed("recipe", self.recipe),
            "optimizer": listed("optimizer", self.optimizer),
            "lr": numbers("lr", self.lr, float),
            "momentum": numbers("momentum", self.momentum, float),
            "weight_decay": numbers("weight-decay", self.weight_decay, float),
            "batch_size": numbers("batch-size", self.batch_size),
            "schedule": listed("schedule", self.schedule),
            "warmup": numbers("warmup", self.warmup, float),
            "precision": listed("precision", self.precision),
        }


@dataclass(frozen=True)
class StoppingOptions:
    """Hold the options that say when training ends."""

    panel: ClassVar[str] = "Stopping"

    patience: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.MOST,
            metavar="N,...",
            help="Give up when the loss has not fallen by 1 % in this many epochs; 0 for never.",
            show_default="30, paper 0",
        ),
    ] = None
    epochs: Annotated[
        Texts,
        typer.Option(
            min=1,
            max=options.MOST,
            metavar="N,...",
            help="Highest number of epochs, and the length of a schedule.",
            show_default="500",
        ),
    ] = None
    stop_loss: Annotated[
        Texts,
        typer.Option(
            min=0,
            max=options.LARGEST,
            metavar="X,...",
            help="Stop at zero training error and a mean cross-entropy below this (both in "
            "evaluation mode, unless --stop-on says training).",
            show_default="0.01; vgg and paper 0.0001",
        ),
    ] = None
    stop_on: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: ("evaluation", "training")),
            help="Mode in which --stop-loss is compared: evaluation, or training (the running loss "
            "of an epoch, with dropout; whatever the error is).",
            show_default="evaluation",
        ),
    ] = None
    stop_check: Annotated[
        Texts,
        typer.Option(
            metavar="NAME,...",
            autocompletion=completing(lambda: ("steps", "epoch")),
            help="When the stop rule is checked: epoch (at its end) or steps (within an epoch too, "
            "once the loss is near --stop-loss, so that it ends just below).",
            show_default="epoch",
        ),
    ] = None
    must_fit: Annotated[
        bool, typer.Option("--must-fit", help="Exit with 1 if the stop rule was not met.")
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted run, if there is one. With more --epochs, continue a run "
            "that ended without meeting the stop rule.",
        ),
        Excludes("force"),
    ] = False

    def values(self) -> Values:
        """Return what was given of the limits and of the stop rule."""
        return {
            "patience": numbers("patience", self.patience),
            "epochs": numbers("epochs", self.epochs),
            "stop_loss": numbers("stop-loss", self.stop_loss, float),
            "stop_on": listed("stop-on", self.stop_on),
            "stop_check": listed("stop-check", self.stop_check),
        }
