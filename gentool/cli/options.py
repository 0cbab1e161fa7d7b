"""Declare the options that several commands share, each once, in groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from gentool.checkpoints.hints import ACTIVATIONS, Hints
from gentool.cli.choices import DATA_SETS, MODELS
from gentool.cli.declaring import MESSAGES, shared
from gentool.cli.lists import completing, listed
from gentool.common.errors import UsageError
from gentool.common.files import Existing
from gentool.common.paths import default_data_dir

if TYPE_CHECKING:
    import torch

    from gentool.data.sources import DataSets

__all__ = ["shared"]
FOREIGN = "Foreign checkpoints"
DATA = "Data"
OUTPUT = "Output"
MACHINE = "Machine"
MOST = 10**9
"""The greatest count that an option takes: of images, epochs, seconds, passes."""
LARGEST = 1_000_000
"""The greatest of other numbers, as alpha, a mean or a learning rate."""
LAST_SEED = 2**32 - 1
MOST_THREADS = 1024  # and processes


@dataclass(frozen=True)
class ForeignNetwork:
    """Hold the options that describe a foreign checkpoint's network, saved by another program."""

    panel: ClassVar[str] = FOREIGN

    model: Annotated[
        str | None,
        typer.Option(
            help="Architecture of a foreign checkpoint: vgg, vgg11, vgg13, vgg16, vgg19 or mlp.",
            metavar="NAME",
            autocompletion=lambda: list(MODELS),
            show_default="inferred",
        ),
    ] = None
    input_shape: Annotated[
        str | None,
        typer.Option(
            help="Input shape of a foreign network, as 3x32x32.",
            metavar="CxHxW",
            show_default="inferred",
        ),
    ] = None
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND,...",
            autocompletion=completing(lambda: ("max", "avg", "none")),
            help="Poolings of a foreign network: max or avg for all, kinds one by one as "
            "max,max,avg4, places as 2:max2,4:avg2 (after the 2nd and 4th convolution), or none.",
            show_default="asked, or max inside a known VGG",
        ),
    ] = None
    order: Annotated[
        list[str] | None,
        typer.Option(
            help="Linear layers of a foreign network from first to last, as fc1,fc2,out.",
            show_default="inferred",
        ),
    ] = None
    module: Annotated[
        str | None,
        typer.Option(
            help="Your own class that builds a foreign network, as mynet.py:Net or "
            "'mynet.py:Net(width=32)'. The code of that file is run.",
            metavar="FILE:CLASS",
            show_default=False,
        ),
    ] = None
    layers: Annotated[
        str | None,
        typer.Option(
            help="JSON file with the list of layers of a foreign network, as written by gentool "
            "inspect --write-layers.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Key of the weights in a foreign file that holds several, as model_ema.",
            show_default="the only or main one",
        ),
    ] = None
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="Layers or modules of a foreign file to leave out, as target,head2."),
    ] = None
    activation: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=completing(lambda: (*ACTIVATIONS, "none")),
            help="Activation after each layer of a foreign network but the last: relu, tanh, none "
            "..., or one for each layer, as relu,none,relu.",
            show_default="inferred",
        ),
    ] = None
    batch_norm: Annotated[
        Literal["before", "after"] | None,
        typer.Option(
            help="Place of batch norm in a foreign network: before or after the activation.",
            show_default="inferred",
        ),
    ] = None
    padding: Annotated[
        list[str] | None,
        typer.Option(
            min=0,
            max=1000,
            metavar="N,...",
            help="Padding of the convolutions of a foreign network: a number, or one for each.",
            show_default="inferred",
        ),
    ] = None
    stride: Annotated[
        list[str] | None,
        typer.Option(
            min=1,
            max=1000,
            metavar="N,...",
            help="Stride of the convolutions of a foreign network: a number, or one for each.",
            show_default="1",
        ),
    ] = None


_Labels = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=lambda: ["true", "random"],
        help="Training labels of a foreign network: true, random, or the random fraction.",
        show_default="true",
    ),
]
_Subset = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        help="Number of training images of a foreign network.",
        show_default="all",
    ),
]
_First = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        help="Number of training images of a foreign network, the first of the data.",
        show_default="all",
    ),
]
_SEED_HELP = "Seed of the training images and random labels of a foreign network."
_Mean = Annotated[
    list[str] | None,
    typer.Option(
        min=-LARGEST,
        max=LARGEST,
        metavar="X,...",
        help="Mean subtracted from each channel of an image, as 0.49,0.48,0.45.",
        show_default="that of the data set",
    ),
]
_Std = Annotated[
    list[str] | None,
    typer.Option(
        min=0,
        max=LARGEST,
        metavar="X,...",
        help="Standard deviation that each channel is divided by, as 0.25,0.24,0.26.",
        show_default="that of the data set",
    ),
]


@dataclass(frozen=True)
class ImageReading:
    """Hold the options that say how the images of a folder or of an npz archive are read."""

    panel: ClassVar[str] = DATA

    channels: Annotated[
        int | None,
        typer.Option(
            min=1, max=3, help="Channels of the images of folder:DIR: 1 or 3.", show_default="3"
        ),
    ] = None
    resize: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Resize each image of folder:DIR to so many pixels in height and width.",
            show_default="as stored",
        ),
    ] = None
    channels_first: Annotated[
        bool | None,
        typer.Option(
            "--channels-first/--channels-last",
            help="Shape of the images of npz:FILE: (N, C, H, W) or (N, H, W, C).",
            show_default="by the shape",
        ),
    ] = None
    classes: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100_000,
            help="Number of classes of npz:FILE, if its images show only some of them.",
            show_default="by the labels",
        ),
    ] = None


@dataclass(frozen=True)
class TrainingData(ImageReading):
    """Hold the options that describe the training data of a foreign checkpoint."""

    panel: ClassVar[str] = FOREIGN

    labels: _Labels = None
    subset: _Subset = None
    first: _First = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", "--data-seed", min=0, max=LAST_SEED, help=_SEED_HELP, show_default="0"
        ),
    ] = None
    mean: _Mean = None
    std: _Std = None


@dataclass(frozen=True)
class TrainingDataBesideSeed(ImageReading):
    """Hold the same options for a command with a --seed of its own."""

    panel: ClassVar[str] = FOREIGN

    labels: _Labels = None
    subset: _Subset = None
    first: _First = None
    data_seed: Annotated[
        int | None, typer.Option(min=0, max=LAST_SEED, help=_SEED_HELP, show_default="0")
    ] = None
    mean: _Mean = None
    std: _Std = None


def parse_hints(*groups: ForeignNetwork | TrainingData | TrainingDataBesideSeed) -> Hints:
    """Return the hints that options of these groups give.

    Raise UsageError, naming the option, for a malformed value.
    """
    values = {name: _text(name, value) for group in groups for name, value in vars(group).items()}
    if "data_seed" in values:
        values["seed"] = values.pop("data_seed")
    return Hints.parse(**values)


def _text(name: str, value: object) -> object:
    """Return a list of the command line as one text, with commas; other values as they are."""
    if isinstance(value, (list, tuple)):
        parts = listed(name.replace("_", "-"), value)
        return None if parts is None else ",".join(parts)
    return value


@dataclass(frozen=True)
class DataFolder:
    """Hold the option that names the folder of the data sets."""

    panel: ClassVar[str] = DATA

    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            envvar="GENTOOL_DATA",
            help="Folder of the data sets.",
            show_default="a cache folder of the user",
        ),
    ] = None

    def data_sets(self, quiet: bool) -> "DataSets":
        """Return the data sets in the folder, with progress bars of downloads unless quiet."""
        from gentool.data.sources import DataSets

        return DataSets(self.data_dir or default_data_dir(), not quiet)


def check_data(data: str | None) -> None:
    """Raise UsageError for an unknown name after --data, once and not for each checkpoint."""
    if data is not None:
        from gentool.data.sources import DATASETS

        DATASETS.check(data.partition(":")[0])


@dataclass(frozen=True)
class Machine:
    """Hold the options that choose the device and the number of CPU threads."""

    panel: ClassVar[str] = MACHINE

    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=lambda: ["auto", "cpu", "cuda", "cuda:0", "mps"],
            help="Device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA if there is one.",
        ),
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_THREADS,
            help="Number of CPU threads.",
            show_default="as torch chooses",
        ),
    ] = None

    def use_device(self) -> "torch.device":
        """Set the number of CPU threads and return the device."""
        from gentool.numerics.device import use

        return use(self.device, self.threads)


@dataclass(frozen=True)
class Outputs:
    """Hold the options that decide about output files that exist."""

    panel: ClassVar[str] = OUTPUT

    force: Annotated[bool, typer.Option("--force", help="Replace an output file that exists.")] = (
        False
    )
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Keep an output file that exists, and exit with 0."),
    ] = False

    def existing(self) -> Existing:
        """Return the decision; raise UsageError if the two options contradict each other."""
        if self.force and self.skip_existing:
            raise UsageError("--force and --skip-existing exclude each other")
        if self.force:
            return Existing.FORCE
        return Existing.SKIP if self.skip_existing else Existing.ERROR


@dataclass(frozen=True)
class Messages:
    """Hold the options that choose the messages on stderr."""

    panel: ClassVar[str] = MESSAGES

    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing on stderr but errors.")
    ] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False


DataOverride = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        autocompletion=lambda: [*DATA_SETS, "folder:", "npz:"],
        rich_help_panel=DATA,
        help="Training data: the name of a data set, folder:DIR or npz:FILE.",
        show_default="as recorded in the checkpoint",
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        rich_help_panel=OUTPUT,
        help="File in JSON Lines to append to, as log.jsonl: an object for each epoch of training "
        "or step of a search. Several networks and processes may share it.",
        show_default="none",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Output file, folder for several checkpoints, or - for stdout.",
        show_default="beside the checkpoint",
    ),
]
