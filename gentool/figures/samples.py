"""Prepare a figure of training images with the labels that training was given."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gentool.common.paths import default_data_dir
from gentool.figures.gallery import COLUMNS, Gallery, Shelf, Tile
from gentool.figures.inputs import inference_notes
from gentool.figures.registry import FIGURES, HINTS, FigureOptions
from gentool.records.recipe import describe_source

if TYPE_CHECKING:  # torch is imported only to prepare this figure
    from torch import Tensor

    from gentool.data.dataset import DataSet
    from gentool.data.subset import LabelledImages

_DRAW = ("labels", "subset", "seed")  # facts that decide which images and labels are drawn
ROWS = 3  # of the subset; the confusion set has one


@FIGURES.register("samples", "checkpoint", "seed", "data", "data_dir", *HINTS)
def samples(path: Path, options: FigureOptions) -> Gallery:
    """Prepare images of the training set, chosen by --seed, with their given and true labels."""
    from gentool.checkpoints import checkpoint
    from gentool.checkpoints.training_data import assumed_facts, load_data_set
    from gentool.data.examples import draw_for
    from gentool.data.sources import DataSets

    read = checkpoint.read(path, options.hints)
    data_sets = DataSets(options.data_dir or default_data_dir(), not options.quiet)
    recipe, source = load_data_set(read, data_sets, options.data, options.hints)
    recipe, drawn = draw_for(recipe, source)
    kind = f"{recipe.labels:g} random" if isinstance(recipe.labels, float) else recipe.labels
    shelves = [_shelf(f"{kind} labels", drawn.subset, source, ROWS * COLUMNS, options.seed)]
    if recipe.confusion:
        shelves.append(_shelf("confusion set", drawn.confusion, source, COLUMNS, options.seed))
    is_all_right = all(tile.is_right for shelf in shelves for tile in shelf.tiles)
    caption = f"{describe_source(recipe.data)}; below each image its label in training"
    if not is_all_right:
        caption += ": blue if right, orange if wrong, with the true one in brackets"
    notes = inference_notes(read)
    assumed = assumed_facts(read.recipe, options.data, options.hints)
    if facts := [f"{name} {getattr(recipe, name)}" for name in assumed if name in _DRAW]:
        notes.append(f"assumed of the training data: {', '.join(facts)}")
    return Gallery(shelves, caption, notes)


def _shelf(name: str, drawn: "LabelledImages", source: "DataSet", most: int, seed: int) -> Shelf:
    """Return random images of a part of the training set; the heading counts wrong labels."""
    size = len(drawn.labels)
    wrong = int((drawn.labels != drawn.true_labels).sum())
    chosen = np.random.default_rng(seed).permutation(size)[:most]
    names = source.names or tuple(map(str, range(source.classes)))
    tiles = [
        Tile(pixels, names[given], names[true])
        for pixels, given, true in zip(
            _pixels(drawn.images[chosen]),
            drawn.labels[chosen].tolist(),
            drawn.true_labels[chosen].tolist(),
            strict=True,
        )
    ]
    return Shelf(f"{name}: {len(tiles)} of {size:,} images, {wrong:,} given a wrong label", tiles)


def _pixels(images: "Tensor") -> np.ndarray:
    """Return images (n, C, H, W) as uint8 pixels, grey (n, H, W) or coloured (n, H, W, 3).

    Of more than three channels the first three are drawn, of two channels their mean.
    """
    pixels = images.numpy()
    if pixels.dtype != np.uint8:
        low, high = pixels.min(), pixels.max()
        pixels = (255 * (pixels - low) / ((high - low) or 1)).astype(np.uint8)
    if pixels.shape[1] < 3:
        return pixels.mean(axis=1).astype(np.uint8)
    return pixels[:, :3].transpose(0, 2, 3, 1)
