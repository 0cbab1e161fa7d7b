"""List what `gentool sharpness` reports: name, summary, formula, source.

The measures of a trained network as it stands are functions of it, and live in a registry. These
are outcomes of a search or a sampling with settings of its own: the function that computes one is
marked with its name, and its docstring is the definition.

    @defines("hessian_trace")
    def hessian_trace(objective: Objective, generator: torch.Generator) -> tuple[float, float]: ...

Groups beside `sharpness` stand in the mark, as `@defines("hessian_trace", "hessian")`.
With `over_m=True` the measure is reported a second time as √(measure / m), named `NAME_over_m`.
A constant of the module stands in braces, as {PROBES}, and is read as the number that it is set to.
The trap avoided here: `--list` has to start without torch, so the definitions are read from the
source instead of being imported.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    "gentool.sharpness.accuracy_box",
    "gentool.sharpness.jiang2020",
    "gentool.sharpness.as_published",
    "gentool.sharpness.flatness_record",
)
OVER_M = "_over_m"  # after the name of a measure that is divided by m


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
        return Facts(
            FAMILY_OF_SHARPNESS, SEARCH, ("data",), LARGER.get(self.name, SHARPER), every, False
        )


SHARPER = "a sharper minimum"
FLATTER = "a flatter minimum"
LARGER = {
    "sharpness_interval_bound": "a looser bound",
    "expected_sharpness_alpha": FLATTER,
    "pac_bayes_sigma": FLATTER,
    "pac_bayes_sigma_magnitude": FLATTER,
    "pac_bayes_sigma_as_published": FLATTER,
    "pac_bayes_sigma_magnitude_as_published": FLATTER,
    "sharpness_alpha": FLATTER,
    "sharpness_alpha_magnitude": FLATTER,
    "pac_bayes_bound": "a looser bound",
    "pac_bayes_error_bound": "a looser bound",
}
"""What a larger value of a measure means, where that is not SHARPER."""


def defines(name: str, *groups: str, over_m: bool = False) -> Callable[[Function], Function]:
    """Mark a function whose docstring defines the measure of this name; use as a decorator.

    `groups` are those of the measure beside `sharpness` and `search`; with `over_m` it is reported
    a second time, divided by m.
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
            definition = Definition(name, *definition_parts(text), tuple(groups))
            yield definition
            if any(map(_is_over_m, function.decorator_list)):
                yield _over_m(definition)


def _definition_names(decorator: ast.expr) -> list[str] | None:
    """Return name and groups in a `@defines(name, *groups)`; None for any other decorator."""
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == defines.__name__:
        return [ast.literal_eval(argument) for argument in decorator.args]
    return None


def _is_over_m(decorator: ast.expr) -> bool:
    """Return whether a decorator has `over_m=True`."""
    return isinstance(decorator, ast.Call) and any(k.arg == "over_m" for k in decorator.keywords)


def _over_m(definition: Definition) -> Definition:
    """Return the definition of a measure divided by m, as the bounds of Jiang et al. have it."""
    return replace(
        definition,
        name=f"{definition.name}{OVER_M}",
        summary=f"The square root of {definition.name} over the number of training images.",
        formula=f"√({definition.name} / m)",
    )
