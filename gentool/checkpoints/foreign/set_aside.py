"""Separate tensors that belong to no layer: counters, metrics, losses, a normalising layer.

Only what is known not to enter the logits is left aside, and by name; any other tensor of an
unknown kind is refused later. A normalising layer at the input is the mean and deviation of the
data.
"""

import math
import re
from dataclasses import dataclass

from torch import Tensor

from gentool.checkpoints.foreign.tensor_sets import listed
from gentool.common.errors import GentoolError

_COUNTERS = (
    "n_averaged",
    "num_updates",
    "step",
    "steps",
    "global_step",
    "epoch",
    "counter",
    "decay",
)
_STATISTICS = (
    *("tp", "fp", "tn", "fn", "confmat", "total", "correct", "mean_value", "measures"),
    *("numerator", "denominator", "preds_sum", "sum_squared_error"),
)
_CRITERION = re.compile(
    r"^(criterion|loss|loss_fn|loss_func|lossfn|cost)([_\d.]|$)|_(loss|criterion)\."
)
_METRIC = re.compile(
    r"(^|[_.])(acc|accuracy|metric|metrics|f1|f1_?score|auroc|auc|confmat|confusion_?matrix|"
    r"precision|recall|top\d+)\d*([_.]|$)"
)
_RUNNING = ("running_mean", "running_var")
_PAIRS = (("mean", "std"), ("means", "stds"), ("mu", "sigma"), ("mean", "sd"))


@dataclass(frozen=True)
class Normalisation:
    """Hold the mean and deviation of each channel that a file, or a module, holds."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    where: str = "file"

    @property
    def words(self) -> str:
        mean, std = (",".join(f"{value:.6g}" for value in part) for part in (self.mean, self.std))
        return f"images are normalised by {self.name!r} in the {self.where}: mean {mean}, std {std}"


def without_others(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors without counters, metrics and losses, and which were left aside."""
    aside = [name for name, tensor in tensors.items() if is_part_of_no_layer(name, tensor)]
    kept = {name: tensor for name, tensor in tensors.items() if name not in set(aside)}
    if not aside or not kept:
        return tensors, []
    return kept, [f"left aside, as parts of no layer: {listed(aside)}"]


def is_part_of_no_layer(name: str, tensor: Tensor) -> bool:
    """Return whether a tensor is a counter, or part of a metric or a loss, by its name."""
    layer, _, leaf = name.rpartition(".")
    if leaf in _COUNTERS and tensor.numel() == 1:
        return True
    if _CRITERION.search(name.lower()):
        return True
    is_metric = _METRIC.search(layer.lower()) is not None
    return is_metric and (leaf in _STATISTICS or leaf not in ("weight", "bias", *_RUNNING))


def without_normalisation(
    tensors: dict[str, Tensor],
) -> tuple[dict[str, Tensor], Normalisation | None]:
    """Return the tensors without those of a normalising layer, and that layer's numbers.

    It holds a mean and a deviation of one number a channel, in a module or buffers of their own.
    Raise GentoolError if there are two, or if a deviation is not positive.
    """
    found: list[tuple[str, str, str]] = []
    for name in tensors:
        for mean, std in _PAIRS:
            other = f"{name.removesuffix(mean)}{std}"
            if name.endswith(mean) and not name.endswith("running_mean") and other in tensors:
                if name[: -len(mean)][-1:] in ("", ".", "_"):
                    found.append((name, other, name.removesuffix(mean).rstrip("._") or mean))
                break
    if not found:
        return tensors, None
    if len(found) > 1:
        names = listed([name for name, _, _ in found])
        raise GentoolError(f"it holds several normalising layers ({names}); say which by --module")
    mean_name, std_name, name = found[0]
    mean, std = (_channels(tensors[part], part) for part in (mean_name, std_name))
    if len(mean) != len(std) or not min(std) > 0 or not all(map(math.isfinite, (*mean, *std))):
        raise GentoolError(
            f"the normalising layer {name!r} has {len(mean)} means and {len(std)} deviations, the "
            f"smallest {min(std):g}; deviations are positive and one for each mean"
        )
    channels = _input_channels(tensors)
    if len(mean) != 1 and channels is not None and len(mean) != channels:
        raise GentoolError(
            f"the normalising layer {name!r} has {len(mean)} means, but the network takes "
            f"{channels} channels"
        )
    kept = {key: tensor for key, tensor in tensors.items() if key not in (mean_name, std_name)}
    return kept, Normalisation(name, mean, std)


def _channels(tensor: Tensor, name: str) -> tuple[float, ...]:
    """Return one number for each channel; raise GentoolError for any other shape."""
    sizes = [size for size in tensor.shape if size != 1]
    place = tensor.dim() - 3 if tensor.dim() >= 3 else 0
    is_by_channel = not sizes or (len(sizes) == 1 and tensor.shape[place] == sizes[0])
    if not is_by_channel or tensor.numel() > 16 or not tensor.dtype.is_floating_point:
        raise GentoolError(
            f"tensor {name!r} of shape {tuple(tensor.shape)} is not one number for each channel of "
            "an image; only such a normalisation is read"
        )
    return tuple(map(float, tensor.flatten()))


def _input_channels(tensors: dict[str, Tensor]) -> int | None:
    """Return the channels of the first convolution, None without one."""
    for name, tensor in tensors.items():
        if name.endswith("weight") and tensor.dim() == 4:
            return tensor.shape[1]
    return None
