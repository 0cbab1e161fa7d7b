"""What a checkpoint says of itself, read without its tensors. No torch.

It is one JSON text under the metadata key `gentool`: format, recipe, outcome, versions.
"""

import json
from pathlib import Path

import safetensors

from gentool.common.errors import GentoolError
from gentool.common.json import Json

FORMAT = 1
KEY = "gentool"


def read(path: Path) -> Json:
    """What a safetensors file says of itself.

    Raises GentoolError, naming the file, where it is missing, damaged or says nothing.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise GentoolError(
            f"{path} is damaged, or no safetensors file, which alone tell of their training"
        ) from error
    if KEY not in metadata:
        raise GentoolError(f"{path} says nothing of its training; gentool train writes that down")
    try:
        return about(metadata[KEY])
    except GentoolError as error:
        raise GentoolError(f"{path}: {error}") from error


def about(text: str) -> Json:
    """The JSON object under the metadata key `gentool`."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GentoolError("its gentool metadata is not JSON; the file is damaged") from error
    if not isinstance(said, dict) or not {"format", "recipe", "outcome"} <= set(said):
        raise GentoolError(
            "its gentool metadata lacks format, recipe or outcome; the file is damaged"
        )
    if said["format"] != FORMAT:
        raise GentoolError(
            f"format {said['format']!r} is not known here (known: {FORMAT}); update gentool"
        )
    return said
