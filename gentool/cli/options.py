"""Options that several commands have, each declared once, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.common.errors import UsageError
from gentool.common.files import Existing

if TYPE_CHECKING:
    import torch

Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto takes CUDA where there is one.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="GENTOOL_DATA",
        help="Folder of the data sets.",
        show_default="a cache folder of the user",
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads on the CPU.", show_default="as torch chooses")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave an output that exists as it is; exit 0.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
DataOverride = Annotated[
    str | None,
    typer.Option(
        "--data", help="Where the training data is.", show_default="as the checkpoint says"
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="What a foreign checkpoint is: vgg, vgg11, vgg13, vgg16, vgg19 or mlp.",
        show_default="inferred",
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(help="Its input, as 3x32x32.", show_default="inferred"),
]
Pool = Annotated[
    str | None,
    typer.Option(help="Its poolings: max or avg.", show_default="max, for a known VGG"),
]
Order = Annotated[
    str | None,
    typer.Option(help="Its linear layers, as fc1,fc2,out.", show_default="inferred"),
]
TrainedLabels = Annotated[
    str | None,
    typer.Option("--labels", help="Labels it was trained on.", show_default="true"),
]
TrainedSubset = Annotated[
    int | None,
    typer.Option("--subset", help="Training images it was trained on.", show_default="all"),
]
TrainedSeed = Annotated[
    int | None, typer.Option("--seed", help="Seed of that draw.", show_default="0")
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="What it takes off each channel, as 0.49,0.48,0.45.", show_default="the data's"
    ),
]
Std = Annotated[
    str | None,
    typer.Option(help="What it divides each channel by.", show_default="the data's"),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="File, folder for several checkpoints, or - for stdout.",
        show_default="beside the checkpoint",
    ),
]


def existing(force: bool, skip_existing: bool) -> Existing:
    """What --force and --skip-existing say about an output that exists."""
    if force and skip_existing:
        raise UsageError("--force and --skip-existing exclude each other")
    if force:
        return Existing.FORCE
    return Existing.SKIP if skip_existing else Existing.ERROR


def use_device(name: str, threads: int | None) -> "torch.device":
    """The device that --device names, with as many CPU threads as --threads says."""
    from gentool.numerics.device import use

    return use(name, threads)
