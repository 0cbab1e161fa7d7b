"""Build the ranges of lists and objects, by hand or from a JSON Schema. No torch.

A file is checked once, where it is read: what does not fit is named by its dotted path, with its
value. Fields that are not declared are allowed, so that later versions can add some.
"""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain

from gentool.common.json import Json
from gentool.records import ranges
from gentool.records.ranges import Range

_TYPES = {
    "string": ranges.TEXT,
    "number": ranges.NUMBER,
    "integer": ranges.of_types("a whole number", int),
    "boolean": ranges.of_types("true or false", bool),
    "null": ranges.of_types("null", type(None)),
    "array": ranges.of_types("a list", list, tuple),
    "object": ranges.of_types("a JSON object", dict),
}
_Bound = tuple[Callable[[float, float], bool], Callable[[Collection[float]], float], str, float]
"""A comparison, which of many values comes closest to the bound, words, and the bound."""
_BOUNDS = {
    "minimum": (operator.ge, min, "at least"),
    "maximum": (operator.le, max, "at most"),
    "exclusiveMinimum": (operator.gt, min, "above"),
    "exclusiveMaximum": (operator.lt, max, "below"),
}


def object_of(
    fields: Mapping[str, Range],
    required: Iterable[str] = (),
    others: Range | None = None,
    names: Range | None = None,
) -> Range:
    """Return the range of the objects with some fields, of which some are required.

    `others` is the range of fields that are not declared, and `names` that of all names of fields;
    without them they may be anything.
    """
    required = frozenset(required)
    known = {name: _quick(field) for name, field in fields.items()}
    undeclared = _quick(others or ranges.ANYTHING)
    of_values = others.includes_all if others is not None and not fields else None

    def includes(value: object) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        if names is not None and not all(map(names.includes, value)):
            return False
        if of_values is not None:
            return of_values(value.values())
        for name, item in value.items():
            types, check = known.get(name, undeclared)
            if type(item) not in types and not check(item):
                return False
        return True

    def includes_all(values: Sequence[object]) -> bool:
        """Check objects with the same names in the same order, as layers are, name by name."""
        if len(values) < 2 or set(map(type, values)) != {dict} or len(set(map(tuple, values))) > 1:
            return all(map(includes, values))
        if not required <= values[0].keys():
            return False
        if names is not None and not all(map(names.includes, values[0])):
            return False
        columns = zip(*(value.values() for value in values), strict=True)
        for name, items in zip(values[0], columns, strict=True):
            if not _all_included(fields.get(name, others or ranges.ANYTHING), items):
                return False
        return True

    def explain(value: object, name: str) -> str | None:
        if not isinstance(value, dict):
            return None
        for key, item in value.items():
            field = fields.get(key, others)
            if field is not None and (fault := field.fault(item, _inside(name, key))):
                return fault
        if names is not None and (odd := [key for key in value if not names.includes(key)]):
            return f"{name} has the name {ranges.shown(odd[0])}; it has to be {names.words}"
        missing = sorted(required - value.keys())
        return f"{_inside(name, missing[0])} is missing" if missing else None

    return Range(includes, "a JSON object", explain, includes_all=includes_all)


def _quick(values: Range) -> tuple[frozenset[type], Callable[[object], bool]]:
    """Return the types of which all values are in a range, and the predicate for the others."""
    return values.types or frozenset(), values.includes


def _all_included(values: Range, items: Sequence[object]) -> bool:
    """Return whether a range includes each of some values."""
    if values.includes_all is not None:
        return values.includes_all(items)
    return all(map(values.includes, items))


def list_of(item: Range, least: int = 0, most: int | None = None) -> Range:
    """Return the range of the lists of some items, of which there are `least` to `most`."""

    def has_length(value: object) -> bool:
        is_list = type(value) in (list, tuple)
        return is_list and least <= len(value) and (most is None or len(value) <= most)

    def includes(value: object) -> bool:
        return has_length(value) and _all_included(item, value)

    def includes_all(values: Collection[object]) -> bool:
        return all(map(has_length, values)) and _all_included(item, list(chain(*values)))

    def explain(value: object, name: str) -> str | None:
        if not has_length(value):
            return None
        faults = (item.fault(part, f"{name}.{i}") for i, part in enumerate(value))
        return next(filter(None, faults), None)

    length = f" of {least}" if least and least == most else ""
    return Range(includes, f"a list{length}", explain, includes_all=includes_all)


def any_of(*alternatives: Range) -> Range:
    """Return the range of the values that one of some ranges includes."""
    types = frozenset().union(*(each.types or () for each in alternatives))
    untyped = [each for each in alternatives if each.types is None]
    checks = [each.includes for each in untyped]

    def includes(value: object) -> bool:
        if type(value) in types:
            return True
        for check in checks:  # noqa: SIM110 - a call of any() takes longer
            if check(value):
                return True
        return False

    def includes_all(values: Collection[object]) -> bool:
        others = [value for value in values if type(value) not in types]
        if len(untyped) == 1:
            return _all_included(untyped[0], others)
        return all(map(includes, others))

    def explain(value: object, name: str) -> str | None:
        explained = (each.explain(value, name) for each in alternatives if each.explain is not None)
        return next(filter(None, explained), None)

    words = " or ".join(each.words for each in alternatives)
    return Range(includes, words, explain, includes_all=includes_all)


def of_json_schema(schema: Json) -> Range:
    """Return the range of the values that a JSON Schema describes, as far as ours use the language.

    Extra properties are allowed, whatever the schema says of them. Ours describe what is written;
    what is read may come from a later version. Raise ValueError for a keyword that is not known.
    """
    if unknown := schema.keys() - _KEYWORDS:
        raise ValueError(f"the keywords {sorted(unknown)} of JSON Schema are not known here")
    if "anyOf" in schema:
        return any_of(*map(of_json_schema, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return _one_of(schema.get("enum", [schema.get("const")]))
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    alternatives = [_of_type(name, schema) for name in names]
    if len(alternatives) == 1:
        return alternatives[0]
    if all(each.types is not None for each in alternatives):
        types = frozenset().union(*(each.types for each in alternatives))
        return ranges.of_types(" or ".join(each.words for each in alternatives), *types)
    return any_of(*alternatives)


def _of_type(name: str, schema: Json) -> Range:
    if name == "object":
        others = schema.get("additionalProperties")
        return object_of(
            {key: of_json_schema(field) for key, field in schema.get("properties", {}).items()},
            schema.get("required", ()),
            of_json_schema(others) if isinstance(others, dict) else None,
            of_json_schema(schema["propertyNames"]) if "propertyNames" in schema else None,
        )
    if name == "array":
        item = of_json_schema(schema["items"])
        return list_of(item, schema.get("minItems", 0), schema.get("maxItems"))
    if name == "string" and "pattern" in schema:
        matches = re.compile(schema["pattern"]).search
        return Range(
            lambda value: type(value) is str and matches(value) is not None,
            f"a text of the form {schema['pattern']}",
        )
    plain = _TYPES[name]
    bounds = [(*_BOUNDS[key], schema[key]) for key in _BOUNDS.keys() & schema.keys()]
    if not bounds or name not in ("number", "integer"):
        return plain
    return _bounded(plain, bounds)


def _bounded(plain: Range, bounds: list[_Bound]) -> Range:
    """Return the range of the numbers of some types that are within some bounds."""
    words = " and ".join(f"{words} {bound}" for _, _, words, bound in bounds)
    (fits, nearest, _, bound), *rest = bounds
    inner = _bounded(plain, rest) if rest else plain

    def includes_all(values: Collection[float]) -> bool:
        return inner.includes_all(values) and (not values or fits(nearest(values), bound))

    return Range(
        lambda value: inner.includes(value) and fits(value, bound),
        f"{plain.words} {words}",
        includes_all=includes_all,
    )


def _one_of(values: list[object]) -> Range:
    """Return the range of some values; 1 is not true, as in JSON."""
    allowed = {kind: [v for v in values if type(v) is kind] for kind in map(type, values)}
    return Range(
        lambda value: value in allowed.get(type(value), ()),
        " or ".join(map(ranges.shown, values)),
    )


def _inside(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


_KEYWORDS = set(_BOUNDS) | {
    *("$schema", "title", "description", "type", "properties", "required", "additionalProperties"),
    *("propertyNames", "items", "minItems", "maxItems", "anyOf", "enum", "const", "pattern"),
}
