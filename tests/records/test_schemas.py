"""Ranges of lists and objects: many values at once are judged as they are one by one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gentool
from gentool.records.schemas import list_of, of_json_schema

_SCHEMA = json.loads((Path(gentool.__file__).parent / "measures.schema.json").read_bytes())
_LAYER = _SCHEMA["properties"]["layers"]["items"]
_NUMBERS = {"type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 3}
_SCHEMAS = [
    _LAYER,
    _NUMBERS,
    {"type": "array", "items": _NUMBERS, "maxItems": 2},
    {"type": "object", "properties": {"a": _NUMBERS, "b": {"enum": [1, None, "x"]}}},
    {"type": "object", "additionalProperties": _NUMBERS, "required": ["a"]},
    {"anyOf": [{"enum": [True, 2]}, {"type": "string", "pattern": "^x"}, _NUMBERS]},
]
_PLAIN = st.sampled_from([None, True, False, 0, 1, 2, 3, 1.0, 2.5, "x", "y"])
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("schema", _SCHEMAS)
@given(values=st.lists(_VALUES, max_size=4))
def test_a_list_is_allowed_where_each_item_is(schema, values):
    item = of_json_schema(schema)
    each = all(item.includes(value) for value in values)
    assert list_of(item).includes(values) == each
    assert list_of(list_of(item)).includes([values, values[:1]]) == each


@pytest.mark.parametrize("name", _LAYER["properties"])
@pytest.mark.parametrize("value", [[], {}, True, -1, [0], "", 1.5])
def test_one_wrong_field_of_one_of_many_layers_is_seen(name, value):
    layer = dict.fromkeys(_LAYER["properties"]) | {"name": "0", "shape": [2, 2], "channels": 2}
    layers = list_of(of_json_schema(_LAYER))
    right = layer | {"spectral_operator_error": 0.0, "spectral_operator_residual": 0.0, "units": 2}
    assert layers.includes([right] * 3)
    wrong = right | {name: value}
    allowed = layers.includes([wrong])
    assert allowed == of_json_schema(_LAYER).includes(wrong)
    assert layers.includes([right, wrong, right]) == allowed
    if isinstance(value, dict):
        assert not allowed
        assert layers.fault([right, wrong], "layers").startswith(f"layers.1.{name} is")
