"""What `gentool sharpness` reports: name, what it is, formula, source.

The measures of a trained network as it stands are functions of it, and live in a registry. These
are outcomes of a search or a sampling with settings of its own: the function that computes one is
marked with its name, and its docstring is the definition.

    @defines("hessian_trace")
    def hessian_trace(objective: Objective, generator: torch.Generator) -> tuple[float, float]: ...

A constant of the module stands in braces, as {PROBES}, and is read as the number that it is set to.
The trap avoided here: to list the definitions must not import torch, so that they are read from the
source.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from gentool.common.registry import definition_parts

Function = TypeVar("Function", bound=Callable[..., object])

# Where the functions are, in the order in which their measures are listed.
MODULES = (
    "gentool.sharpness.worst_case",
    "gentool.sharpness.bounds",
    "gentool.sharpness.search.enumeration",
    "gentool.sharpness.search.protocols",
    "gentool.sharpness.expected",
    "gentool.sharpness.flatness",
    "gentool.sharpness.worst_case_record",
)


@dataclass(frozen=True)
class Definition:
    """One reported quantity."""

    name: str
    summary: str
    formula: str
    source: str


def defines(name: str) -> Callable[[Function], Function]:
    """Mark a function whose docstring defines the measure of this name; use as a decorator."""
    return lambda function: function


def definitions() -> list[Definition]:
    """All of them, in the order of the modules and of the lines in each."""
    return [
        found for module in MODULES for found in _definitions_in(Path(find_spec(module).origin))
    ]


def _definitions_in(path: Path) -> Iterator[Definition]:
    """The definitions in a module's source."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    constants = {
        f"{{{target.id}}}": ast.get_source_segment(text, node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in sorted(functions, key=lambda node: node.lineno):
        for name in filter(None, map(_defined_name, function.decorator_list)):
            said = re.sub(r"\{[A-Z_]+\}", lambda m: constants[m[0]], ast.get_docstring(function))
            yield Definition(name, *definition_parts(said))


def _defined_name(decorator: ast.expr) -> str | None:
    """The name that a decorator gives to what its function computes; None for any other one."""
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == defines.__name__:
        return ast.literal_eval(decorator.args[0])
    return None
