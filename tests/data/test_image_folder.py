"""Folders of images: what Pillow's own conversion would lose, channels, sizes, hidden files."""

import struct
import zlib

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


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif"])
def test_colours_of_8_bits_are_read_alike_from_formats_without_loss(tmp_path, suffix):
    colours = np.random.default_rng(1).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    images = load(write(tmp_path, lambda i: Image.fromarray(colours[i]), suffix)).train_images
    assert np.array_equal(images.numpy(), colours[[0, 1, 0, 1]].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("magic", "stored"), [("P5", bytes(RAMP)), ("P2", None)])
def test_grey_portable_maps_of_8_bits_are_read(tmp_path, magic, stored):
    """Binary and as text; 0 to 240 of 255."""
    content = stored or " ".join(map(str, RAMP.ravel())).encode()
    folder = write(tmp_path, grey, "pgm")
    for file in folder.rglob("*.pgm"):
        file.write_bytes(f"{magic} 4 4 255\n".encode() + content)
    assert np.array_equal(load(folder, channels=1).train_images[0, 0].numpy(), RAMP)


COLOURS = np.random.default_rng(0).integers(0, 65536, (4, 4, 4), dtype=np.uint16)


def write_deep(folder, kind):
    """Write one image of COLOURS to each class, in a format of 16 bits a channel."""
    for half in ("train", "test"):
        for name in "ab":
            (folder / half / name).mkdir(parents=True)
            suffix = {"P": "ppm", "t": "tiff"}.get(kind[0], "png")
            file = folder / half / name / f"0.{suffix}"
            file.write_bytes(deep_image(kind))
    return folder


def deep_image(kind):
    """Encode COLOURS as a PNG (`rgb`, `rgba`, `la`), a TIFF, or a PPM (binary `P6`, `P3` text)."""
    channels = {"rgb": 3, "rgba": 4, "la": 2}.get(kind, 3)
    values = COLOURS[..., :channels].astype(">u2")
    if kind == "P6":
        return b"P6\n4 4\n65535\n" + values.tobytes()
    if kind == "P3":
        return b"P3\n4 4\n65535\n" + " ".join(map(str, values.ravel())).encode()

    if kind == "tiff":  # a strip of little-endian numbers, then a directory of nine entries
        entries = [(256, 4), (257, 4), (258, 218), (259, 1), (262, 2), (273, 8), (277, 3)]
        entries += [(278, 4), (279, 96)]
        directory = struct.pack("<H", len(entries))
        for tag, value in entries:
            count = 3 if tag == 258 else 1
            directory += struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, count, value)
        tail = struct.pack("<IHHH", 0, 16, 16, 16)
        return b"II*\0" + struct.pack("<I", 104) + values.astype("<u2").tobytes() + directory + tail

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", 4, 4, 16, {3: 2, 4: 6, 2: 4}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("kind", ["rgb", "rgba", "la", "tiff", "P6", "P3"])
def test_colours_of_16_bits_keep_their_values(tmp_path, kind):
    """v / 65535, of which 8 bits would leave 256 values; alpha is composed on black."""
    images = load(write_deep(tmp_path, kind)).train_images
    expected = COLOURS[..., :3] / 65535
    if kind == "rgba":
        expected = expected * COLOURS[..., 3:] / 65535
    if kind == "la":
        expected = np.repeat(expected[..., :1] * expected[..., 1:2], 3, axis=2)
    assert images.dtype == torch.float32
    assert np.allclose(images[0].numpy(), expected.transpose(2, 0, 1), rtol=1e-6, atol=0)


def test_colours_of_16_bits_become_grey_and_small_as_others_do(tmp_path):
    """Grey of Rec. 601; resized in floats."""
    folder = write_deep(tmp_path, "rgb")
    grey_values = (COLOURS[..., :3] / 65535) @ np.array([0.299, 0.587, 0.114])
    assert np.allclose(load(folder, channels=1).train_images[0, 0].numpy(), grey_values)
    small = load(folder, resize=2).train_images[0].numpy()
    assert np.allclose(small.mean(), (COLOURS[..., :3] / 65535).mean(), atol=0.1)
    assert small.shape == (3, 2, 2)


def test_of_an_animation_the_first_image_is_read_and_that_is_said(tmp_path):
    data = load(write(tmp_path / "a", lambda i: _Animated(grey(i))))
    assert "several images" in data.notes[0]
    assert torch.equal(data.train_images, load(write(tmp_path / "b", grey)).train_images)


class _Animated:
    """An image that is saved with a second one after it."""

    def __init__(self, image):
        self.image = image

    def save(self, path):
        self.image.save(path, save_all=True, append_images=[grey(3)])


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


def test_the_names_of_the_halves_may_be_in_any_case(tmp_path):
    data = load(write(tmp_path, grey, halves=("Train", "TEST")))
    assert (len(data.train_labels), len(data.test_labels), data.notes) == (4, 4, ())


def test_a_folder_without_test_images_has_none(tmp_path):
    """As an npz with one pair: a note says why there is no test error."""
    data = load(write(tmp_path, grey, halves=("train",)))
    assert data.test_images.shape == (0, 3, 4, 4)
    assert "no test images" in data.notes[0]


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
