"""List what `gentool sharpness` reports: name, summary, formula, source.

The measures of a trained network as it stands are functions of it, and live in a registry. These
are outcomes of a search or a sampling with settings of its own: the function that computes one is
marked with its name, and its docstring is the definition.

    @defines("hessian_trace")
    def hessian_trace(objective: Objective, generator: torch.Generator) -> tuple[float, float]: ...

Groups beside `sharpness` stand in the mark, as `@defines("hessian_trace", "hessian")`.
A constant of the module stands in braces, as {PROBES}, and is read as the number that it is set to.
The trap avoided here: `--list` has to start without torch, so the definitions are read from the
source instead of being imported.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from gentool.common.registry import definition_parts
from gentool.records.measure_facts import FAMILY_OF_SHARPNESS, SEARCH, Facts

Function = TypeVar("Function", bound=Callable[..., object])

# The modules with such functions, in the order in which --list prints their measures.
MODULES = (
    "gentool.sharpness.worst_case",
    "gentool.sharpness.readings",
    "gentool.sharpness.bounds",
    "gentool.sharpness.search.enumeration",
    "gentool.sharpness.search.protocols",
    "gentool.sharpness.m_sharpness",
    "gentool.sharpness.expected",
    "gentool.sharpness.error_bound",
    "gentool.sharpness.flatness",
    "gentool.sharpness.pac_bayes_sigma",
    "gentool.sharpness.flatness_record",
)


@dataclass(frozen=True)
class Definition:
    """Describe one reported quantity."""

    name: str
    summary: str
    formula: str
    source: str
    groups: tuple[str, ...] = ()

    @property
    def facts(self) -> Facts:
        """Return what the rooms without torch know of the measure."""
        every = (FAMILY_OF_SHARPNESS, SEARCH, *self.groups)
        return Facts(FAMILY_OF_SHARPNESS, SEARCH, ("data",), LARGER.get(self.name, SHARPER), every)


SHARPER = "a sharper minimum"
LARGER = {
    "sharpness_interval_bound": "a looser bound",
    "expected_sharpness_alpha": "a flatter minimum",
    "pac_bayes_sigma": "a flatter minimum",
    "pac_bayes_sigma_magnitude": "a flatter minimum",
    "pac_bayes_bound": "a looser bound",
    "pac_bayes_error_bound": "a looser bound",
}
"""What a larger value of a measure means, where that is not SHARPER."""


def defines(name: str, *groups: str) -> Callable[[Function], Function]:
    """Mark a function whose docstring defines the measure of this name; use as a decorator.

    `groups` are those of the measure beside `sharpness` and `search`.
    """
    return lambda function: function


def definitions() -> list[Definition]:
    """Return all definitions, in the order of MODULES and of the lines in each."""
    paths = [Path(find_spec(module).origin) for module in MODULES]
    return [definition for path in paths for definition in _definitions_in(path)]


def _definitions_in(path: Path) -> Iterator[Definition]:
    """Yield the definitions in a module's source."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    constants = {
        f"{{{target.id}}}": ast.get_source_segment(source, node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in sorted(functions, key=lambda node: node.lineno):
        for name, *groups in filter(None, map(_definition_names, function.decorator_list)):
            text = re.sub(r"\{[A-Z_]+\}", lambda m: constants[m[0]], ast.get_docstring(function))
            yield Definition(name, *definition_parts(text), tuple(groups))


def _definition_names(decorator: ast.expr) -> list[str] | None:
    """Return name and groups in a `@defines(name, *groups)`; None for any other decorator."""
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == defines.__name__:
        return [ast.literal_eval(argument) for argument in decorator.args]
    return None
