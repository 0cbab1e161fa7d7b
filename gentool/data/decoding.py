"""Decode image files to arrays without losing grey values.

The traps avoided: Pillow's own conversion to RGB clips 16-bit and float images to black and white,
and drops the alpha channel, with the drawing where it is there.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gentool.common.errors import GentoolError
from gentool.common.memory import available_memory, in_words
from gentool.data.deep_colours import deep_colours, in_channels, on_black
from gentool.data.reading import AS_STORED, Reading

if TYPE_CHECKING:
    from PIL.Image import Image

ALPHA, FLOATS, COLOURS, FRAMES = "alpha", "float", "colours", "frames"
SIXTEEN_BITS, SCALED, SMALL = "16-bit", "16-bit-scaled", "16-bit-small"
NOTES = {
    ALPHA: "images with an alpha channel are composed on black",
    SIXTEEN_BITS: "images of 16 bits that hold grey values of 8 bits are read as those",
    SCALED: "images of 16 bits are read as floats from 0 to 1, which are not normalised",
    SMALL: "images of 16 bits whose values do not exceed 255 are read as grey values of 8 bits",
    FLOATS: "images of floats are taken as they are and are not normalised",
    COLOURS: "colours of 16 bits are read with 8 bits; save them as PNG to keep all",
    FRAMES: "of files that hold several images, as animations do, the first image is read",
}
"""What is said of images that are not plain ones of 8 bits, by the traits of decoded images."""
AS_BEFORE = (COLOURS, FRAMES, SMALL)
"""Traits of images that earlier versions decoded to the same pixels."""

BYTES_A_PIXEL = 16  # four channels, decoded, converted and composed


@dataclass(frozen=True)
class DecodedImage:
    """Hold the pixels of an image, and what is unusual about it."""

    pixels: np.ndarray  # (H, W, C), uint8 or float32
    traits: tuple[str, ...] = ()


def decode(file: Path, reading: Reading = AS_STORED) -> DecodedImage:
    """Decode an image with the channels and the size of `reading`; RGB if it says no channels.

    Raise GentoolError if the image cannot be decoded, or cannot be read without losing what it
    shows.
    """
    from PIL import Image

    warnings.simplefilter("error", Image.DecompressionBombWarning)  # a line that names no file
    try:
        with Image.open(file) as image:
            _check_memory(file, image)
            if image.mode in ("F", "I") or image.mode.startswith("I;16"):
                return _grey(file, image, reading)
            traits = (FRAMES,) if getattr(image, "n_frames", 1) > 1 else ()
            if (pixels := deep_colours(file, image)) is not None:
                return _deep(file, pixels, reading, traits)
            traits = (COLOURS, *traits) if ";16" in str(image.tile) else traits
            mode = "L" if reading.channels == 1 else "RGB"
            converted = image.convert(mode)
            if image.has_transparency_data:
                composed = _composed_on_black(file, image).convert(mode)
                if composed.tobytes() != converted.tobytes():
                    converted, traits = composed, (*traits, ALPHA)
            pixels = np.asarray(_resized(converted, reading))
            return DecodedImage(pixels[..., None] if pixels.ndim == 2 else pixels, traits)
    except GentoolError:
        raise
    except Exception as error:  # a damaged file raises anything
        raise GentoolError(f"{file} cannot be decoded ({error}); replace or remove it") from error


def _check_memory(file: Path, image: "Image") -> None:
    """Raise GentoolError, before an image is unpacked, if its declared size is beyond memory."""
    width, height = image.size
    free = available_memory()
    if width * height * BYTES_A_PIXEL > free:
        raise GentoolError(
            f"{file} is an image of {width} x {height} pixels, for which the {in_words(free)} of "
            "memory that are free are too few; save it smaller"
        )


def _grey(file: Path, image: "Image", reading: Reading) -> DecodedImage:
    """Decode an image of 16 bits or of floats: one channel, repeated where colours are needed.

    16 bits that are 8 bits repeated (multiples of 257) are read as 8 bits, others as floats from 0
    to 1; floats are taken as they are.
    """
    from PIL import Image

    values = np.asarray(image)
    if image.mode == "F":
        traits = (FLOATS,)
        if not np.isfinite(values).all():
            raise GentoolError(f"{file} has values that are NaN or infinite; replace or remove it")
    elif image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise GentoolError(
            f"{file} has whole numbers of 32 bits, whose range is unknown; save it with 8 or 16 "
            "bits, or as floats"
        )
    elif (values % 257 == 0).all():
        traits, values = (SIXTEEN_BITS,), (values // 257).astype(np.uint8)
    else:
        traits, values = (SCALED,), values / np.float64(65535)
    if values.dtype != np.uint8:
        values = values.astype(np.float32)
    grey = np.asarray(_resized(Image.fromarray(values), reading))[..., None]
    return DecodedImage(grey if reading.channels == 1 else np.repeat(grey, 3, axis=2), traits)


def _deep(
    file: Path, pixels: np.ndarray, reading: Reading, traits: tuple[str, ...]
) -> DecodedImage:
    """Decode colours of 16 bits, as `_grey` does; `pixels` are from 0 to 1, perhaps with alpha."""
    from PIL import Image

    composed = on_black(pixels)
    if composed is not pixels:
        if np.ptp(composed, axis=(0, 1)).max() == 0 < np.ptp(pixels, axis=(0, 1)).max():
            raise _vanished(file)
        if not np.array_equal(composed, pixels[..., :-1]):
            traits = (ALPHA, *traits)
    is_8_bits = np.array_equal(composed * 255, np.rint(composed * 255))
    values = in_channels(composed, reading.channels or 3)
    if is_8_bits:
        traits, values = (SIXTEEN_BITS, *traits), np.rint(values * 255).astype(np.uint8)
    else:
        traits, values = (SCALED, *traits), values.astype(np.float32)
    resized = [
        np.asarray(_resized(Image.fromarray(one), reading)) for one in values.T.swapaxes(1, 2)
    ]
    return DecodedImage(np.stack(resized, axis=-1), traits)


def _vanished(file: Path) -> GentoolError:
    return GentoolError(
        f"{file} shows nothing on a black ground, since its drawing is black or in the alpha "
        "channel; save the images without alpha, on a ground of another colour"
    )


def _resized(image: "Image", reading: Reading) -> "Image":
    """Return an image in the size that was asked for, resampled bilinearly with antialiasing."""
    from PIL import Image

    if reading.resize is None or image.size == (reading.resize, reading.resize):
        return image
    return image.resize((reading.resize, reading.resize), Image.Resampling.BILINEAR)


def _composed_on_black(file: Path, image: "Image") -> "Image":
    """Return an image with an alpha channel on a black ground.

    Raise GentoolError if nothing of the drawing is left there.
    """
    from PIL import Image

    with_alpha = image.convert("RGBA")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    composed = Image.alpha_composite(black, with_alpha).convert("RGB")
    if _is_uniform(composed) and not _is_uniform(with_alpha):
        raise _vanished(file)
    return composed


def _is_uniform(image: "Image") -> bool:
    extrema = image.getextrema()
    return all(low == high for low, high in extrema)
