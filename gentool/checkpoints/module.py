"""Build a network by the user's own class, and describe it as a list of layers.

Running the user's code is what `--module` asks for; nothing of a checkpoint is ever run.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gentool.checkpoints.foreign.set_aside import Normalisation
from gentool.checkpoints.hints import Hints
from gentool.checkpoints.module_tensors import check_layers, layers_of_module, tensors_of
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import sha256
from gentool.common.json import Json, dumps, loads
from gentool.networks.layer_list import chain, describe
from gentool.networks.layer_shapes import output_shapes, some_shape
from gentool.networks.models import ImageShape, build
from gentool.networks.tracing import steps_of
from gentool.records.recipe import Recipe

EXAMPLE = "as mynet.py:Net, mypackage.nets:Net or 'mynet.py:Net(width=32)'"


def load_module(specification: str) -> nn.Module:
    """Return the module that `FILE.py:NAME` or `package.module:NAME` builds, with its arguments.

    Arguments are literals: 'mynet.py:Net(10, width=32)'. Raise UsageError if the text is malformed,
    GentoolError if the code cannot be run or builds no torch.nn.Module.
    """
    place, name, args, options = parse_module(specification)
    try:
        built = _attribute(place, name)
        model = built if isinstance(built, nn.Module) else built(*args, **options)
    except GentoolError:
        raise
    except Exception as error:  # the user's code may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GentoolError(f"--module {specification}: {type(error).__name__}: {reason}") from error
    if not isinstance(model, nn.Module):
        raise GentoolError(
            f"--module {specification}: {name} is a {type(model).__name__}, not a torch.nn.Module"
        )
    return model


def parse_module(specification: str) -> tuple[str, str, list[object], dict[str, object]]:
    """Return the file or module, the name, and the arguments in the text of `--module`."""
    head, parenthesis, rest = specification.partition("(")
    place, _, name = head.rpartition(":")
    call = name + parenthesis + rest
    wrong = UsageError(f"--module is {specification!r}; write FILE.py:NAME, {EXAMPLE}")
    if not (place and name):
        raise wrong
    try:
        expression = ast.parse(call, mode="eval").body
        args, keywords = [], {}
        if isinstance(expression, ast.Call):
            args = [ast.literal_eval(argument) for argument in expression.args]
            keywords = {k.arg: ast.literal_eval(k.value) for k in expression.keywords}
            expression = expression.func
        name = ast.unparse(expression)
    except (SyntaxError, ValueError) as error:
        raise wrong from error
    if None in keywords or not all(part.isidentifier() for part in name.split(".")):
        raise wrong
    return place, name, args, keywords


def _attribute(place: str, name: str) -> Callable[..., object] | nn.Module:
    """Import a file or a module and return what it calls by a dotted name."""
    found: object = _import_file(Path(place)) if place.endswith(".py") else _import_named(place)
    for part in name.split("."):
        if not hasattr(found, part):
            raise GentoolError(f"--module: {place} has no {name!r}")
        found = getattr(found, part)
    return found


def _import_file(path: Path) -> object:
    if not path.is_file():
        raise GentoolError(f"--module: {path} does not exist")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.parent))  # as `python FILE.py` has it
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _import_named(name: str) -> object:
    sys.path.insert(0, "")  # as `python -m` has it
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove("")


def described_by_module(
    tensors: dict[str, Tensor], hints: Hints, file: str, digest: str
) -> tuple[Recipe, dict[str, Tensor], Normalisation | None]:
    """Return the recipe and state dict of a network that `--module` builds.

    The last item is the normalising layer at the input, of the file or of the module. Raise
    GentoolError if the module does not fit.
    """
    model = load_module(hints.module)
    layers, kept, others, normalisation = layers_of_module(model, tensors, hints.input_shape)
    words = [f"layers as the forward pass of {hints.module} calls them", *others]
    shape = hints.input_shape or _vector_shape(layers)
    check_layers(model, layers, kept, shape)
    return _recipe(layers, shape, words, hints, file, digest), kept, normalisation


def described_by_list(
    tensors: dict[str, Tensor], hints: Hints, file: str, digest: str
) -> tuple[Recipe, dict[str, Tensor]]:
    """Return the recipe and state dict of a network that `--layers` lists.

    Raise errors as `described_by_module` does.
    """
    layers, listed_shape = read_layers(Path(hints.layers))
    kept = tensors_of(layers, tensors)
    words = [f"layers as {hints.layers} lists them"]
    if aside := sorted(set(tensors) - set(kept)):
        words.append(f"not used in the forward pass, left aside: {', '.join(aside)}")
    shape = hints.input_shape or listed_shape or _vector_shape(layers)
    return _recipe(layers, shape, words, hints, file, digest), kept


def _recipe(
    layers: list[Json],
    shape: ImageShape | None,
    words: list[str],
    hints: Hints,
    file: str,
    digest: str,
) -> Recipe:
    with torch.device("meta"):
        network = chain(layers)
        outputs = list(output_shapes(network, shape or some_shape(network.eval())).values())
    if len(outputs[-1]) != 1:
        size = "x".join(map(str, outputs[-1]))
        raise GentoolError(f"the network puts out {size} numbers an image, not one a class")
    return Recipe.of_foreign(
        batch_norm=any(layer["type"].startswith("batch_norm") for layer in layers),
        input_shape=shape,
        classes=outputs[-1][0],
        layers=tuple(layers),
        origin={
            "file": file,
            "sha256": digest,
            "said": hints.architecture() | _source(hints),
            "inferred": words,
        },
    )


def read_layers(path: Path) -> tuple[list[Json], tuple[int, int, int] | None]:
    """Read a list of layers from a JSON file, and the input shape if the file has it.

    The file holds the list itself, or an object with the keys `layers` and `input_shape`. Raise
    GentoolError, naming the file, if it holds no such list.
    """
    try:
        content = loads(path.read_bytes())
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise GentoolError(f"{path} is not a list of layers as JSON ({error})") from error
    layers, shape = content, None
    if isinstance(content, dict):
        layers, shape = content.get("layers"), content.get("input_shape")
    try:
        with torch.device("meta"):
            chain(layers)
        if shape is not None:
            shape = Recipe.of_foreign(input_shape=shape).input_shape  # checks it
    except (GentoolError, UsageError) as error:
        raise GentoolError(f"{path}: {error}") from error
    return list(layers), shape


def layers_of(recipe: Recipe) -> list[Json]:
    """Return the list of layers of a recipe, of a model of gentool without its dropout."""
    return list(recipe.layers) if recipe.layers else describe(steps_of(build(recipe).eval()))


def layers_as_text(layers: Sequence[Json], input_shape: Sequence[int] | None) -> str:
    """Return a list of layers as JSON to be edited, one layer a line."""
    lines = ",\n".join(f"  {dumps(layer)}" for layer in layers)
    shape = None if input_shape is None else list(input_shape)
    return f'{{"input_shape": {dumps(shape)},\n "layers": [\n{lines}\n]}}\n'


def _vector_shape(layers: list[Json]) -> ImageShape | None:
    """Return the shape of vectors, which a network that begins with a linear layer takes.

    The size of the images that a convolution takes is unknown: None.
    """
    weighty = [layer for layer in layers if layer["type"] in ("conv2d", "linear")]
    if not weighty or weighty[0]["type"] == "conv2d":
        return None
    return (1, 1, weighty[0]["in_features"])


def _source(hints: Hints) -> Json:
    """Return the SHA-256 of the file that described the network."""
    path = hints.layers
    if hints.module is not None:
        place = parse_module(hints.module)[0]
        path = Path(place) if place.endswith(".py") else None
    return {} if path is None else {"description_sha256": sha256(Path(path))}
