"""Read the metadata of a checkpoint without its tensors. No torch.

The metadata is one JSON text under the key `gentool`: format, recipe, outcome, versions.
"""

from pathlib import Path

import safetensors

from gentool.common.errors import GentoolError
from gentool.common.json import Json, loads
from gentool.common.paths import readable
from gentool.records import ranges
from gentool.records.formats import check_format
from gentool.records.recipe import Outcome, Recipe
from gentool.records.schemas import object_of

FORMAT = 1
KEY = "gentool"
METADATA = object_of(
    {
        "recipe": ranges.OBJECT,
        "outcome": ranges.OBJECT.or_none(),
        "versions": object_of({}, others=ranges.TEXT).or_none(),
    },
    required=("format", "recipe", "outcome"),
)


def read(path: Path) -> Json:
    """Return the metadata of a safetensors file, with a recipe and an outcome that are valid.

    Raise GentoolError, naming the file, if it is missing or damaged, or has no such metadata.
    """
    try:
        with readable(path) as whole, safetensors.safe_open(whole, framework="numpy") as file:
            texts = file.metadata() or {}
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise GentoolError(
            f"{path} is damaged or not a safetensors file; only those describe their training"
        ) from error
    if KEY not in texts:
        raise GentoolError(
            f"{path} does not describe its training; the checkpoints of gentool train do"
        )
    try:
        metadata = parse(texts[KEY])
        recipe_and_outcome(metadata)
    except GentoolError as error:
        raise GentoolError(f"{path}: {error}") from error
    return metadata


def parse(text: str) -> Json:
    """Return the JSON object that is the metadata `gentool`.

    Raise GentoolError if the text is damaged, or of a format that this version does not know.
    """
    try:
        metadata = loads(text)
    except ValueError as error:
        raise GentoolError(
            f"its gentool metadata is not JSON ({error}); the file is damaged"
        ) from error
    check_format(metadata, FORMAT, "its gentool metadata")
    if fault := METADATA.fault(metadata, ""):
        raise GentoolError(f"its gentool metadata does not fit: {fault}")
    return metadata


def recipe_and_outcome(metadata: Json) -> tuple[Recipe, Outcome | None]:
    """Return the recipe and the outcome in the metadata of a checkpoint, None if it has no outcome.

    Raise GentoolError if either is not one that gentool writes.
    """
    recipe = Recipe.from_file(metadata["recipe"])
    recipe.check_facts()
    outcome = metadata["outcome"]
    return recipe, None if outcome is None else Outcome.from_json(outcome)
