"""Build the ranges of lists and objects, by hand or from a JSON Schema. No torch.

A file is checked once, where it is read: what does not fit is named by its dotted path, with its
value. Fields that are not declared are allowed, so that later versions can add some.
"""

import re
from collections.abc import Collection, Iterable, Mapping

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
_BOUNDS = {
    "minimum": (lambda value, bound: value >= bound, "at least"),
    "maximum": (lambda value, bound: value <= bound, "at most"),
    "exclusiveMinimum": (lambda value, bound: value > bound, "above"),
    "exclusiveMaximum": (lambda value, bound: value < bound, "below"),
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
    checks = {name: field.includes for name, field in fields.items()}
    of_others = others.includes if others is not None else None
    includes_all = others.includes_all if others is not None and not fields else None

    def includes(value: object) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        if names is not None and not all(map(names.includes, value)):
            return False
        if includes_all is not None:
            return includes_all(value.values())
        for name, item in value.items():
            check = checks.get(name, of_others)
            if check is not None and not check(item):
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

    return Range(includes, "a JSON object", explain)


def list_of(item: Range, least: int = 0, most: int | None = None) -> Range:
    """Return the range of the lists of some items, of which there are `least` to `most`."""

    def has_length(value: object) -> bool:
        is_list = type(value) in (list, tuple)
        return is_list and least <= len(value) and (most is None or len(value) <= most)

    def includes(value: object) -> bool:
        if not has_length(value):
            return False
        if item.includes_all is not None:
            return item.includes_all(value)
        return all(map(item.includes, value))

    def explain(value: object, name: str) -> str | None:
        if not has_length(value):
            return None
        faults = (item.fault(part, f"{name}.{i}") for i, part in enumerate(value))
        return next(filter(None, faults), None)

    length = f" of {least}" if least and least == most else ""
    return Range(includes, f"a list{length}", explain)


def any_of(*alternatives: Range) -> Range:
    """Return the range of the values that one of some ranges includes."""
    checks = [each.includes for each in alternatives]

    def explain(value: object, name: str) -> str | None:
        explained = (each.explain(value, name) for each in alternatives if each.explain is not None)
        return next(filter(None, explained), None)

    words = " or ".join(each.words for each in alternatives)
    return Range(lambda value: any(check(value) for check in checks), words, explain)


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
    words = " and ".join(f"{words} {bound}" for _, words, bound in bounds)

    def includes_all(values: Collection[float]) -> bool:
        if not plain.includes_all(values):
            return False
        ends = (min(values), max(values)) if values else ()
        return all(fits(end, bound) for fits, _, bound in bounds for end in ends)

    return Range(
        lambda value: includes_all((value,)), f"{plain.words} {words}", includes_all=includes_all
    )


def _one_of(values: list[object]) -> Range:
    """Return the range of some values; 1 is not true, as in JSON."""
    allowed = {(type(value), value) for value in values}
    return Range(
        lambda value: isinstance(value, _HASHABLE) and (type(value), value) in allowed,
        " or ".join(map(ranges.shown, values)),
    )


def _inside(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


_HASHABLE = (str, int, float, bool, type(None))
_KEYWORDS = set(_BOUNDS) | {
    *("$schema", "title", "description", "type", "properties", "required", "additionalProperties"),
    *("propertyNames", "items", "minItems", "maxItems", "anyOf", "enum", "const", "pattern"),
}
