"""Turn a command with groups of options into one that Typer reads: plain help, panels, rules.

A group is a frozen dataclass whose fields are Typer options. Beside an option stands what it has no
meaning with (`Excludes`), or what has a meaning beside it alone (`Enables`): these are the table
that every command line is checked against, before any work.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import typer
import typer.core

from gentool.cli.lists import listed, numbers
from gentool.common.errors import UsageError
from gentool.common.text import recordable, shortened

LONGEST_METAVAR = 16  # characters of choices that are listed in place of a name
ALWAYS = ("quiet", "debug")
"""Options that have a meaning with every other."""
Limits = tuple[float | None, float | None, type[int] | type[float]]
UNLIMITED: Limits = (None, None, float)
"""The least and the greatest value of an option, and the kind of its numbers."""
EVERYTHING = "*"
"""The name of all other options and arguments in a rule."""


@dataclass(frozen=True, init=False)
class Excludes:
    """Name options that have no meaning beside this one.

    With `unless`, the rule does not hold for these values of this option; `but` are options that
    have a meaning beside it although it excludes EVERYTHING.
    """

    names: tuple[str, ...]
    unless: tuple[object, ...]
    but: tuple[str, ...]

    def __init__(
        self, *names: str, unless: tuple[object, ...] = (), but: tuple[str, ...] = ()
    ) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "unless", unless)
        object.__setattr__(self, "but", but)


@dataclass(frozen=True, init=False)
class Enables:
    """Name options that have no meaning without this one, or another one that enables them."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


Rules = Mapping[str, tuple[Excludes | Enables, ...]]


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Pass groups of options to a command, each group as one object.

    In the signature that Typer reads, a parameter of the command whose type is a group is replaced
    by the fields of the group, with their names, defaults and order. Numbers are checked against
    the least and the greatest value that their options declare.
    """
    flat = [_declared(parameter) for parameter in _flat_parameters(command)]
    ranges = {name: limits for _, name, limits in flat if limits != UNLIMITED}
    parameters = [parameter for parameter, _, _ in flat]
    groups = {
        name: parameter.annotation
        for name, parameter in signature(command).parameters.items()
        if is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def with_groups(**values: object) -> None:
        for name, limits in ranges.items():
            _check_range(name, values[name], *limits)
        if isinstance(values.get("data"), str):
            values["data"] = recordable(values["data"])  # as records have it, to be compared
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    # Typer reads these attributes; `wraps` has copied those of the command, with the groups.
    with_groups.__signature__ = signature(command).replace(parameters=parameters)
    with_groups.__annotations__ = {p.name: p.annotation for p in parameters}
    with_groups.__doc__ = help_text(command.__doc__ or "")
    with_groups.rules = _rules(parameters)
    return with_groups


class Command(typer.core.TyperCommand):
    """A command that refuses options which have no meaning together, naming both."""

    def invoke(self, ctx):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        check_together(ctx, getattr(self.callback, "rules", {}))
        return super().invoke(ctx)

    def get_params(self, ctx):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        return plainly_shown(super().get_params(ctx))

    def get_help_option(self, ctx):  # noqa: ANN001, ANN201 - the types are click's, unnamed
        option = super().get_help_option(ctx)
        option.rich_help_panel = MESSAGES
        return option


def plainly_shown(parameters: list) -> list:
    """Return the parameters of a command, without the types of flags and arguments in the help."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None
    return parameters


MESSAGES = "Messages"


def check_together(context: typer.Context, rules: Rules) -> None:
    """Raise UsageError for an option of the command line that has no meaning beside the others."""
    said = {name for name in context.params if _is_said(context, name)}
    enabling: dict[str, list[str]] = {}
    for name, of_option in rules.items():
        for other in (o for rule in of_option if isinstance(rule, Enables) for o in rule.names):
            enabling.setdefault(other, []).append(name)
    for other, names in enabling.items():
        if other in said and not said & set(names):
            spelled = " or ".join(_spelled(context, name) for name in names)
            raise UsageError(
                f"{_spelled(context, other)} has no meaning without {spelled}; leave it out"
            )
    for name, of_option in rules.items():
        for rule in of_option:
            is_excluding = isinstance(rule, Excludes) and name in said
            if is_excluding and context.params[name] not in rule.unless:
                others = rule.names
                if others == (EVERYTHING,):
                    kept = (*ALWAYS, *rule.but)
                    others = tuple(other for other in context.params if other not in kept)
                for other in others:
                    if other in said and other != name:
                        value = f" {context.params[name]}" if rule.unless else ""
                        raise UsageError(
                            f"{_spelled(context, other)} has no meaning with "
                            f"{_spelled(context, name)}{value}; leave it out"
                        )


def _is_said(context: typer.Context, name: str) -> bool:
    """Return whether an option or an argument stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _spelled(context: typer.Context, name: str) -> str:
    """Return an option or an argument as it is written on the command line."""
    for parameter in context.command.params:
        if parameter.name == name:
            if parameter.param_type_name == "argument":
                return str(parameter.metavar or name)
            spellings = list(parameter.opts)
            if context.params[name] is False and parameter.secondary_opts:
                spellings = list(parameter.secondary_opts)
            return max(spellings, key=len)
    raise ValueError(f"no option {name}")


def _check_range(
    name: str,
    value: object,
    least: float | None,
    greatest: float | None,
    kind: type[int] | type[float],
) -> None:
    """Raise UsageError if a number is below the least or above the greatest value, or is none.

    `value` is a number, or the text of an option that takes several, of a kind.
    """
    option = name.replace("_", "-")
    if value is None:
        return
    if isinstance(value, (int, float)):
        values = {str(value): value}
    else:
        values = dict(
            zip(listed(option, value) or (), numbers(option, value, kind) or (), strict=True)
        )
    for text, number in values.items():
        is_number = number == number  # NaN is not itself
        is_low = least is not None and number < least
        if is_number and not is_low and (greatest is None or number <= greatest):
            continue
        words = f"from {least:g} to {greatest:,}" if greatest is not None else f"{least:g} or more"
        raise UsageError(f"--{option} is {shortened(text)}; it has to be {words}")


def _flat_parameters(command: Callable[..., None]) -> Iterator[Parameter]:
    """Return the parameters of a command, those of a group in place of the group."""
    for parameter in signature(command).parameters.values():
        if is_dataclass(parameter.annotation):
            panel = getattr(parameter.annotation, "panel", None)
            for field in fields(parameter.annotation):
                annotation = field.type if panel is None else _in_panel(field.type, panel)
                yield Parameter(
                    field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
                )
        else:
            yield parameter.replace(kind=Parameter.KEYWORD_ONLY)


def _in_panel(annotation: object, panel: str) -> object:
    """Return the annotation of an option, shown in a panel unless it names one itself."""

    def put(info: typer.models.OptionInfo) -> None:
        info.rich_help_panel = info.rich_help_panel or panel

    return _with_info(annotation, put)


def _with_info(annotation: object, change: Callable[[typer.models.OptionInfo], None]) -> object:
    """Return an annotation whose option or argument is a copy, changed by a function."""
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, *metadata = get_args(annotation)
    copies = [copy.copy(part) for part in metadata]
    for part in copies:
        if isinstance(part, typer.models.ParameterInfo):
            change(part)
    return Annotated[(kind, *copies)]


def _declared(parameter: Parameter) -> tuple[Parameter, str, Limits]:
    """Return a parameter in the form that Typer shows plainly, its name, and its range.

    Typer writes defaults in words with parentheses, and ranges as `x>=1`: the words are put into
    the help text here, and ranges are checked by `shared`.
    """
    limits = [UNLIMITED]

    def plain(info: typer.models.OptionInfo) -> None:
        if (info.min, info.max) != (None, None):
            kind = int if (info.metavar or "").startswith("N") else float
            limits.append((info.min, info.max, kind))
        info.min = info.max = None
        info.help = escaped(info.help or "")
        if isinstance(info.show_default, str):
            info.help += f" [dim]\\[default: {escaped(info.show_default)}][/dim]"
            info.show_default = False
        if info.metavar is None:
            info.metavar = _metavar(get_args(parameter.annotation)[0])

    annotation = _with_info(parameter.annotation, plain)
    return parameter.replace(annotation=annotation), parameter.name, limits[-1]


def _metavar(kind: object) -> str | None:
    """Return what stands for the value of an option: N, X, NAME, FILE, or the choices."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        words = "|".join(map(str, get_args(kind)))
        return words if len(words) <= LONGEST_METAVAR else "NAME"
    if get_origin(kind) is list:
        return "NAME,..."
    return {bool: None, int: "N", float: "X", Path: "FILE"}.get(kind, "TEXT")


def _rules(parameters: list[Parameter]) -> dict[str, tuple[Excludes | Enables, ...]]:
    """Return the rules that stand beside the options of a command; raise ValueError for a typo."""
    names = {parameter.name for parameter in parameters}
    rules = {}
    for parameter in parameters:
        of_option = tuple(
            part
            for part in getattr(parameter.annotation, "__metadata__", ())
            if isinstance(part, (Excludes, Enables))
        )
        if of_option:
            rules[parameter.name] = of_option
        for rule in of_option:
            if unknown := {*rule.names, *getattr(rule, "but", ())} - names - {EVERYTHING}:
                raise ValueError(f"a rule of {parameter.name} names no option: {unknown}")
    return rules


def help_text(docstring: str) -> str:
    """Return a docstring with each paragraph in one line, for terminals of any width.

    A paragraph that begins with a backspace, as an example, keeps its lines.
    """
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return escaped(
        "\n\n".join(
            paragraph.removeprefix("\b\n")
            if paragraph.startswith("\b")
            else " ".join(paragraph.split())
            for paragraph in paragraphs
        )
    )


def escaped(text: str) -> str:
    """Return a text in which brackets are no markup of rich; rich itself is slow to import."""
    return text.replace("[", "\\[")
