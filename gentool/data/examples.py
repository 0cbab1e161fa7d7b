"""Draw the training data of a recipe, and hold images and labels on a device, in batches.

Training draws the data first and writes the facts (sizes, digests, normalisation) into the recipe.
Every later command draws the data again from that recipe. The trap avoided: if the data changed
since, the draw differs from the facts, which is an error rather than a wrong number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.data.dataset import DataSet
from gentool.data.subset import TrainingDraw, draw_subset
from gentool.records.recipe import Recipe

# Images that are normalised all at once take four times their stored size; beyond this many bytes
# they are normalised batch by batch instead. The values are the same.
NORMALISE_AT_ONCE = 2**30


@dataclass(frozen=True)
class Examples:
    """Hold images with labels on one device; `batch` returns them normalised."""

    images: Tensor  # (n, C, H, W): uint8 as stored, or float32 and normalised
    labels: Tensor  # (n,)
    mean: Tensor  # (C, 1, 1), in the units of the stored images
    std: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, indices: Tensor | slice, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """Return normalised images, shape (b, C, H, W), and labels, shape (b,)."""
        return self.images_at(indices, dtype), self.labels[indices]

    def images_at(self, indices: Tensor | slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return normalised images, shape (b, C, H, W)."""
        if isinstance(indices, Tensor) and self.images.is_contiguous():
            chosen = self.images.index_select(0, indices)  # takes half the time of indexing
        else:
            chosen = self.images[indices]  # keeps the memory format channels_last
        return self._normalised(chosen, dtype)

    def images_into(self, rows: Tensor, indices: Tensor) -> None:
        """Write normalised images into `rows`, shape (b, C, H, W)."""
        if self.images.dtype == rows.dtype:
            torch.index_select(self.images, 0, indices, out=rows)
        else:
            rows.copy_(self.images_at(indices, rows.dtype))

    def batches(
        self, size: int, dtype: torch.dtype = torch.float32
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all examples in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size), dtype)

    def normalised(self) -> "Examples":
        """Return the same examples, normalised at once if they fit, so that batches cost less."""
        if self.images.dtype != torch.uint8 or self.images.numel() * 4 > NORMALISE_AT_ONCE:
            return self
        return replace(self, images=self._normalised(self.images, torch.float32))

    def channels_last(self) -> "Examples":
        """Return the same examples in the memory format in which convolutions are fastest."""
        images = self.images.contiguous(memory_format=torch.channels_last)
        return replace(self, images=images)

    def _normalised(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        if images.dtype != torch.uint8:
            return images.to(dtype)
        return images.to(dtype).sub_(self.mean.to(dtype)).div_(self.std.to(dtype))


@dataclass(frozen=True)
class TrainingSet:
    """Hold the examples of a recipe: subset, confusion set and test set; these may be empty."""

    subset: Examples
    confusion: Examples
    test: Examples
    notes: tuple[str, ...] = ()  # what is unusual about the data

    @property
    def all(self) -> Examples:
        """Return the subset and the confusion set together, on which the network is trained."""
        images = torch.cat([self.subset.images, self.confusion.images])
        return replace(
            self.subset,
            images=images,
            labels=torch.cat([self.subset.labels, self.confusion.labels]),
        )


def without_other_sets(examples: Examples) -> TrainingSet:
    """Return a training set of these examples, with neither confusion set nor test set."""
    none = replace(examples, images=examples.images[:0], labels=examples.labels[:0])
    return TrainingSet(examples, none, none)


def training_set(recipe: Recipe, data: DataSet, device: torch.device) -> tuple[Recipe, TrainingSet]:
    """Draw the data of a recipe as `draw_for` does; return it and the test set on a device."""
    recipe, draw = draw_for(recipe, data)

    def examples(images: Tensor, labels: Tensor) -> Examples:
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        mean, std = (
            torch.tensor(numbers, dtype=torch.float64, device=device).mul_(scale).reshape(-1, 1, 1)
            for numbers in (recipe.mean, recipe.std)
        )
        return Examples(images.to(device), labels.to(device), mean, std)

    sets = TrainingSet(
        examples(draw.subset.images, draw.subset.labels),
        examples(draw.confusion.images, draw.confusion.labels),
        examples(data.test_images, data.test_labels),
        data.notes,
    )
    return recipe, sets


def draw_for(recipe: Recipe, data: DataSet) -> tuple[Recipe, TrainingDraw]:
    """Draw the images and labels of a recipe; return the recipe with the facts of the draw, too.

    Raise GentoolError if the recipe holds such facts already and the data or the draw differs.
    """
    of_data = {
        "input_shape": data.input_shape,
        "classes": data.classes,
        "fingerprint": data.fingerprint,
    }
    _check_facts(recipe, of_data)  # first: other data may have too few images for the draw
    draw = draw_subset(
        data,
        labels=recipe.labels,
        subset=recipe.subset,
        confusion=recipe.confusion,
        seed=recipe.seed,
        takes_first=recipe.draw == "first",
    )
    mean, std = (recipe.mean, recipe.std) if recipe.mean is not None else data.normalisation()
    of_draw = {"subset": len(draw.subset.labels), "digest": draw.digest}
    _check_facts(recipe, of_draw)
    return replace(recipe, **of_data, **of_draw, mean=mean, std=std), draw


def _check_facts(recipe: Recipe, facts: Json) -> None:
    """Raise GentoolError if a recipe holds other facts than these about its data."""
    for name, value in facts.items():
        recorded = getattr(recipe, name)
        if recorded is not None and recorded != value:
            raise GentoolError(
                f"the data differs from what the network was trained on: {name} {value!r}, "
                f"in the checkpoint {recorded!r}; name the right data with --data and --data-dir"
            )
