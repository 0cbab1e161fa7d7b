"""Folders of images: what Pillow's own conversion would lose, channels, sizes, hidden files."""

import numpy as np
import pytest
import torch
from PIL import Image

from gentool.common.errors import GentoolError, UsageError
from gentool.data.reading import Reading
from gentool.data.sources import load_dataset

RAMP = np.linspace(0, 240, 16).astype(np.uint8).reshape(4, 4)  # 16 grey values


def write(folder, make, suffix="png", halves=("train", "test")):
    """Write two images each of two classes; `make` returns an image for a number from 0."""
    for half in halves:
        for kind in ("cat", "dog"):
            (folder / half / kind).mkdir(parents=True)
            for i in range(2):
                make(i).save(folder / half / kind / f"{i}.{suffix}")
    return folder


def grey(i=0):
    return Image.fromarray(np.roll(RAMP, i))


def load(folder, **options):
    return load_dataset(f"folder:{folder}", folder, False, Reading(**options))


def test_16_bits_that_hold_8_bits_are_read_as_those(tmp_path):
    """A grey value v is stored as 257 v; all 16 are there, and are normalised as usual."""
    wide = load(write(tmp_path / "a", lambda i: Image.fromarray(np.roll(RAMP, i) * np.uint16(257))))
    plain = load(write(tmp_path / "b", grey))
    assert torch.equal(wide.train_images, plain.train_images)
    assert wide.fingerprint != plain.fingerprint


def test_16_bits_keep_all_their_grey_values_as_floats(tmp_path):
    """v / 65535; a plain image among them is v / 255, the same scale."""
    values = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4001
    makes = [grey(), Image.fromarray(values)]
    images = load(write(tmp_path, lambda i: makes[i])).train_images
    assert np.allclose(images[0, 1].numpy(), RAMP / 255)
    assert np.allclose(images[1, 1].numpy(), values / 65535)


def test_16_bits_that_never_exceed_255_are_read_as_earlier_versions_did(tmp_path):
    """As values of 8 bits that were saved in 16, with the fingerprint of the files alone."""
    small = load(write(tmp_path / "a", lambda i: Image.fromarray(np.roll(RAMP, i) * np.uint16(1))))
    plain = load(write(tmp_path / "b", grey))
    assert torch.equal(small.train_images, plain.train_images)
    assert "do not exceed 255" in small.notes[0]


def test_images_of_floats_keep_their_values(tmp_path):
    values = RAMP.astype(np.float32) / 7 - 3
    images = load(write(tmp_path, lambda i: Image.fromarray(values), "tiff"), channels=1)
    assert np.array_equal(images.train_images[0, 0].numpy(), values)


def test_floats_among_other_images_are_refused(tmp_path):
    """Their scales are unknown to each other."""
    makes = [grey(), Image.fromarray(RAMP.astype(np.float32))]
    with pytest.raises(GentoolError, match=r"is an image of floats, but .* is not"):
        load(write(tmp_path, lambda i: makes[i], "tiff"))


def test_32_bits_are_refused_by_name(tmp_path):
    with pytest.raises(GentoolError, match=r"0\.tiff has whole numbers of 32 bits"):
        load(write(tmp_path, lambda i: Image.fromarray(RAMP.astype(np.int32)), "tiff"))


def with_alpha(colour, alpha):
    image = Image.merge("RGB", [Image.fromarray(colour)] * 3)
    image.putalpha(Image.fromarray(alpha))
    return image


def test_alpha_is_composed_on_black(tmp_path):
    """A white image with the drawing in its alpha channel is the drawing on black, and noted."""
    data = load(write(tmp_path, lambda i: with_alpha(RAMP * 0 + 255, RAMP)))
    assert np.array_equal(data.train_images[0, 2].numpy(), RAMP)
    assert "composed on black" in data.notes[0]


def test_a_drawing_that_vanishes_on_black_is_refused_by_name(tmp_path):
    with pytest.raises(GentoolError, match=r"0\.png shows nothing on a black ground"):
        load(write(tmp_path, lambda i: with_alpha(RAMP * 0, RAMP)))


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    """Neither the pixels nor, for the files as they are, the fingerprint of earlier versions."""
    data = load(write(tmp_path, lambda i: with_alpha(np.roll(RAMP, i), RAMP * 0 + 255)))
    assert np.array_equal(data.train_images[0, 0].numpy(), RAMP)
    assert data.notes == ()


def test_grey_images_may_stay_one_channel(tmp_path):
    """The cache keeps one and three channels apart."""
    folder = write(tmp_path, grey)
    three, one = load(folder), load(folder, channels=1)
    assert (three.input_shape, one.input_shape) == ((3, 4, 4), (1, 4, 4))
    assert torch.equal(three.train_images[:, :1], one.train_images)
    assert three.fingerprint != one.fingerprint
    assert load(folder).input_shape == (3, 4, 4)


def test_images_of_several_sizes_may_be_resized(tmp_path):
    folder = write(tmp_path, lambda i: Image.new("L", (5 + i, 9), 50))
    with pytest.raises(GentoolError, match="--resize 9"):
        load(folder)
    data = load(folder, resize=6)
    assert data.input_shape == (3, 6, 6)
    assert data.train_images.unique().tolist() == [50]
    assert data.fingerprint != load(folder, resize=7).fingerprint


def test_val_may_stand_for_test(tmp_path):
    data = load(write(tmp_path, grey, halves=("train", "val")))
    assert len(data.test_labels) == 4
    assert data.notes == ("the images of val/ are the test set",)


def test_hidden_files_and_folders_are_left_aside(tmp_path):
    folder = write(tmp_path, grey)
    before = load(folder)
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "__MACOSX").mkdir()
    (folder / "test" / "cat" / ".cache").mkdir()
    for hidden in ("train/cat/._0.png", "train/cat/.DS_Store", "test/cat/.cache/0.png"):
        (folder / hidden).write_bytes(b"no image")
    assert load(folder).fingerprint == before.fingerprint


def test_options_of_folders_are_for_folders_alone(tmp_path):
    with pytest.raises(UsageError, match="--resize 4 is for --data folder:DIR"):
        load_dataset("digits", tmp_path, False, Reading(resize=4))
    with pytest.raises(UsageError, match="--channels-first is for --data npz:FILE"):
        load_dataset("digits", tmp_path, False, Reading(channel_order="first"))
