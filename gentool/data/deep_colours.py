"""Decode colours of more than 8 bits a channel, which Pillow would cut to 8.

Pillow reads the high byte of each number, in files of either byte order. Asked for the other byte
order, it reads the low byte of the same file.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_ALPHA_LAST = (2, 4)  # grey with alpha, colours with alpha
_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def deep_colours(file: Path, image: "Image") -> np.ndarray | None:
    """Return the pixels of an opened PNG, TIFF or PPM of 16 bits a channel, None for another image.

    They are of shape (H, W, C), float64 from 0 to 1; of 2 or 4 channels the last is alpha.
    """
    if not image.tile:
        return None
    arguments = image.tile[0].args
    if image.format == "PPM" and image.mode == "RGB":
        largest = 255 if isinstance(arguments, str) else arguments[1]
        return _ppm(file, image, largest) if largest > 255 else None
    mode = arguments if isinstance(arguments, str) else arguments[0]
    kind, _, order = str(mode).partition(";")
    if kind == "LA" and order == "16B":  # read as RGBA, it shows all of its four bytes
        values = _read_as(file, "RGBA").astype(np.uint16)
        return (values[..., ::2] * 256 + values[..., 1::2]) / np.float64(65535)
    if kind in ("RGB", "RGBA") and order in _OTHER_ORDER:
        high = np.asarray(image).astype(np.uint16)
        low = _read_as(file, f"{kind};{_OTHER_ORDER[order]}")
        return (high * 256 + low) / np.float64(65535)
    return None


def _read_as(file: Path, mode: str) -> np.ndarray:
    """Return the pixels of a file whose bytes are read in another of Pillow's raw modes."""
    from PIL import Image

    with Image.open(file) as image:
        image.tile = [
            tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:]))
            for tile in image.tile
        ]
        return np.asarray(image)


def _ppm(file: Path, image: "Image", largest: int) -> np.ndarray:
    """Return the pixels of a PPM, whose header ends where Pillow says that the pixels begin."""
    content = file.read_bytes()[image.tile[0].offset :]
    shape = (image.height, image.width, 3)
    count = image.height * image.width * 3
    if image.tile[0].codec_name == "ppm":
        values = np.frombuffer(content, ">u2", count)
    else:  # numbers as text, with comments
        lines = (line.partition(b"#")[0] for line in content.splitlines())
        values = np.array(b" ".join(lines).split()[:count], dtype=np.int64)
    return values.reshape(shape) / np.float64(largest)


def on_black(pixels: np.ndarray) -> np.ndarray:
    """Return pixels without their alpha channel, if they have one, composed on black."""
    if pixels.shape[2] not in _ALPHA_LAST:
        return pixels
    return pixels[..., :-1] * pixels[..., -1:]


def in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Return pixels of 1 or 3 channels in 1 or 3 channels; grey is Rec. 601's, as Pillow's is."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return (pixels @ np.array([0.299, 0.587, 0.114]))[..., None]
