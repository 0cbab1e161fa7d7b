"""What a recipe trains on and is judged by: its images and labels on a device, in batches.

Training draws them first and writes the facts (sizes, digests, normalisation) into the recipe;
every later command draws them again from that recipe, and a draw that differs from its facts is an
error, not a silent number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.data.dataset import DataSet
from gentool.data.subset import TrainingDraw, draw_subset
from gentool.records.recipe import Recipe

# Images normalised once and for all take four times their stored size; beyond this many bytes they
# are normalised batch by batch instead. The values are the same.
NORMALISE_AT_ONCE = 2**30


@dataclass(frozen=True)
class Examples:
    """Images with labels on one device; `batch` gives them normalised."""

    images: Tensor  # (n, C, H, W): uint8 as stored, or float32 and normalised
    labels: Tensor  # (n,)
    mean: Tensor  # (C, 1, 1), in the units of the stored images
    std: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, indices: Tensor | slice, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """Normalised images, shape (b, C, H, W), and labels, shape (b,)."""
        return self.images_at(indices, dtype), self.labels[indices]

    def images_at(self, indices: Tensor | slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """Normalised images, shape (b, C, H, W)."""
        if isinstance(indices, Tensor) and self.images.is_contiguous():
            chosen = self.images.index_select(0, indices)  # whole rows, in half the time
        else:
            chosen = self.images[indices]  # keeps the channels last
        return self._normalised(chosen, dtype)

    def images_into(self, rows: Tensor, indices: Tensor) -> None:
        """Write normalised images into memory of their own, shape (b, C, H, W)."""
        if self.images.dtype == rows.dtype:
            torch.index_select(self.images, 0, indices, out=rows)
        else:
            rows.copy_(self.images_at(indices, rows.dtype))

    def batches(
        self, size: int, dtype: torch.dtype = torch.float32
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All examples in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size), dtype)

    def normalised(self) -> "Examples":
        """The same examples, normalised at once where they fit: batches are then mere gathers."""
        if self.images.dtype != torch.uint8 or self.images.numel() * 4 > NORMALISE_AT_ONCE:
            return self
        return replace(self, images=self._normalised(self.images, torch.float32))

    def channels_last(self) -> "Examples":
        """The same examples in the memory format in which convolutions are fastest."""
        images = self.images.contiguous(memory_format=torch.channels_last)
        return replace(self, images=images)

    def _normalised(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        if images.dtype != torch.uint8:
            return images.to(dtype)
        return images.to(dtype).sub_(self.mean.to(dtype)).div_(self.std.to(dtype))


@dataclass(frozen=True)
class TrainingSet:
    """The examples of a recipe: the subset, the confusion set (may be empty), the test set."""

    subset: Examples
    confusion: Examples
    test: Examples

    @property
    def all(self) -> Examples:
        """The subset and the confusion set: what the network is trained on."""
        images = torch.cat([self.subset.images, self.confusion.images])
        return replace(
            self.subset,
            images=images,
            labels=torch.cat([self.subset.labels, self.confusion.labels]),
        )


def training_set(recipe: Recipe, data: DataSet, device: torch.device) -> tuple[Recipe, TrainingSet]:
    """Draw what a recipe trains on, as `drawn_by` does, and put it and the test set on a device."""
    recipe, drawn = drawn_by(recipe, data)

    def examples(images: Tensor, labels: Tensor) -> Examples:
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        mean, std = (
            torch.tensor(numbers, dtype=torch.float64, device=device).mul_(scale).reshape(-1, 1, 1)
            for numbers in (recipe.mean, recipe.std)
        )
        return Examples(images.to(device), labels.to(device), mean, std)

    sets = TrainingSet(
        examples(drawn.subset.images, drawn.subset.labels),
        examples(drawn.confusion.images, drawn.confusion.labels),
        examples(data.test_images, data.test_labels),
    )
    return recipe, sets


def drawn_by(recipe: Recipe, data: DataSet) -> tuple[Recipe, TrainingDraw]:
    """Draw the images and labels of a recipe; it comes back with the facts of the draw.

    Raises GentoolError where the recipe holds such facts already and the data or the draw differ
    from them.
    """
    drawn = draw_subset(
        data,
        labels=recipe.labels,
        subset=recipe.subset,
        confusion=recipe.confusion,
        seed=recipe.seed,
    )
    mean, std = (recipe.mean, recipe.std) if recipe.mean is not None else data.normalisation()
    facts = {
        "input_shape": data.input_shape,
        "classes": data.classes,
        "subset": len(drawn.subset.labels),
        "fingerprint": data.fingerprint,
        "digest": drawn.digest,
    }
    for name, value in facts.items():
        known = getattr(recipe, name)
        if known is not None and known != value:
            raise GentoolError(
                f"the data differs from what the network was trained on: {name} {value!r}, "
                f"in the checkpoint {known!r}; name the right data with --data and --data-dir"
            )
    return replace(recipe, **facts, mean=mean, std=std), drawn
