"""Load a saved network for Python: its module, its recipe and its outcome."""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

from gentool.checkpoints.checkpoint import Checkpoint, read
from gentool.checkpoints.hints import NO_HINTS, Hints
from gentool.checkpoints.training_data import load_training_set
from gentool.common.errors import UsageError, unknown
from gentool.common.paths import default_data_dir
from gentool.data.examples import TrainingSet
from gentool.data.sources import DataSets
from gentool.records.recipe import Outcome, Recipe


@dataclass(frozen=True)
class TrainedNetwork:
    """Hold a trained network: its module, its recipe and its outcome.

    `gentool.train` and `gentool.load` return it; `gentool.measure`, `sharpness`,
    `expected_sharpness` and `flatness` take it in the place of a module, with the training set of
    its recipe. `module` is in evaluation mode, on the CPU; it is a copy, so that changing it
    changes no record. `outcome` is None, and most of `recipe`, where another program trained it.
    `path` is None unless there is a file.
    """

    module: nn.Module = field(repr=False)
    recipe: Recipe
    outcome: Outcome | None = field(repr=False)
    path: Path | None
    checkpoint: Checkpoint = field(repr=False)
    data_sets: DataSets = field(repr=False)
    data: str | None = field(default=None, repr=False)
    hints: Hints = field(default=NO_HINTS, repr=False)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the file; of one that was not written, as if it had been."""
        return self.checkpoint.sha256

    @property
    def has_data(self) -> bool:
        """Return whether its training set is known."""
        return self.data is not None or self.recipe.data is not None

    def training_set(self) -> tuple[Tensor, Tensor]:
        """Return the images, (m, C, H, W) and normalised, and the labels, (m,), of its subset.

        Raise GentoolError if the data differs from what it was trained on, UsageError if the data
        is unknown.
        """
        return self._sets.subset.batch(slice(None))

    def test_set(self) -> tuple[Tensor, Tensor]:
        """Return images and labels of the test set, as `training_set` does; it may be empty."""
        return self._sets.test.batch(slice(None))

    @cached_property
    def _sets(self) -> TrainingSet:
        cpu = torch.device("cpu")
        return load_training_set(
            self.checkpoint, cpu, self.data_sets, data=self.data, hints=self.hints
        )[1]


class HintOptions(TypedDict, total=False):
    """What a foreign file does not say, as the options of the command line of the same names."""

    model: str
    input_shape: str | tuple[int, int, int]
    pool: str
    order: str | tuple[str, ...]
    module: str
    layers: str
    key: str
    leave_out: str | tuple[str, ...]
    activation: str | tuple[str, ...]
    batch_norm: str
    padding: int | str | tuple[int, ...]
    stride: int | str | tuple[int, ...]
    labels: str | float
    subset: int
    first: int
    seed: int
    mean: float | str | tuple[float, ...]
    std: float | str | tuple[float, ...]
    channels: int
    resize: int
    channels_first: bool
    classes: int


def load(
    path: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    **hints: Unpack[HintOptions],
) -> TrainedNetwork:
    """Load a checkpoint: of gentool, or a safetensors, .pt or .pth file of another program.

    `hints` say of a foreign file what it does not say, by the names of the command line's options:
    its architecture (`model`, `input_shape`, `pool`, `order`, `module`, ...) and its training data
    (`labels`, `subset` or `first`, `seed`, `mean`, `std`), which `data` names. `data_dir` is the
    folder of the data sets, by default GENTOOL_DATA or the user's cache. No data is read until it
    is needed.

    Raise GentoolError, naming the file, if it is missing, damaged or no network that can be
    measured; UsageError if a hint is missing, unknown or malformed, or given for a file that
    describes itself.

    >>> import gentool
    >>> recipe = {"model": "mlp", "hidden": 8, "data": "digits", "subset": 50, "epochs": 2}
    >>> saved = gentool.train(recipe, "mlp.safetensors")
    >>> net = gentool.load("mlp.safetensors")
    >>> net.recipe.hidden, net.outcome.epochs, net.module.training
    (8, 2, False)
    >>> images, labels = net.training_set()
    >>> tuple(images.shape), tuple(labels.shape)
    ((50, 1, 8, 8), (50,))
    """
    parsed, path = _parsed(hints), Path(path).expanduser()
    return network_of(read(path, parsed), data_dir, path, data, parsed)


def network_of(
    checkpoint: Checkpoint,
    data_dir: str | Path | None = None,
    path: Path | None = None,
    data: str | None = None,
    hints: Hints = NO_HINTS,
) -> TrainedNetwork:
    """Return a checkpoint as a network for Python."""
    folder = default_data_dir() if data_dir is None else Path(data_dir)
    return TrainedNetwork(
        module=copy.deepcopy(checkpoint.model()),
        recipe=checkpoint.recipe,
        outcome=checkpoint.outcome,
        path=path,
        checkpoint=checkpoint,
        data_sets=DataSets(folder),
        data=data,
        hints=hints,
    )


def _parsed(options: HintOptions) -> Hints:
    """Return hints; tuples and numbers are read as the text of the option that they are."""
    texts = {}
    for name, value in options.items():
        if name not in HintOptions.__annotations__:
            raise unknown("hint", name, HintOptions.__annotations__)
        is_number = name in ("subset", "first", "seed", "channels", "resize", "classes")
        if value is None or is_number or name == "channels_first":
            texts[name] = value
        elif isinstance(value, tuple | list):
            texts[name] = ("x" if name == "input_shape" else ",").join(map(str, value))
        elif isinstance(value, str | int | float):
            texts[name] = str(value)
        else:
            raise UsageError(f"{name} is {value!r}; give a text, a number or a tuple of them")
    return Hints.parse(**texts)
