"""JSON is strict both ways: what is written can be read, and nothing else is read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentool.common.json import dumps, first_value, loads, with_nulls

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_again(value):
    assert loads(dumps(value)) == value
    assert loads(dumps(value, indent=1).encode()) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "NaN is not strict JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not strict JSON"),
        ("1e999", "1e999 is beyond the numbers"),
        ('{"a": -1.5E+400}', "-1.5E+400 is beyond the numbers"),
        ("1" * 400, "1... is beyond the numbers"),
        ("1" * 250 + ".0e99", "1... is beyond the numbers"),
        ("-" + "9" * 309, "9... is beyond the numbers"),
        ('"\\ud800"', "half a character"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff", "can't decode"),
        ("{} {}", "something follows the first value: {}"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_reason(text, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.").replace("+", r"\+")) as caught:
        loads(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1e308", "123e300", "1e-999", "1" + 308 * "0", '"1e999 and \\\\ud800"', " 1 \n"]
)
def test_numbers_at_the_edge_are_read(text):
    loads(text)


def test_values_in_a_row_are_read_one_by_one():
    text = '{"a": 1} {"b": 1e999}'
    assert first_value(text) == ({"a": 1}, 8)
    with pytest.raises(ValueError, match="beyond the numbers"):
        first_value(text, 9)


def test_numbers_that_are_not_finite_become_null_with_their_places():
    value, notes = with_nulls({"a": {"b": [1.0, math.inf]}, "c": math.nan, "d": "inf"})
    assert value == {"a": {"b": [1.0, None]}, "c": None, "d": "inf"}
    assert notes == [
        "a.b.1: it is inf, and null stands for it",
        "c: it is nan, and null stands for it",
    ]


@pytest.mark.parametrize("after", ["", " ", "\n", ",", "]", "}"])
@pytest.mark.parametrize(
    "number",
    ["1e999", "-1E+999", "1.5e0999", "1" + 309 * "0", "9" * 299 + "e99", "9" * 299 + ".5E99"],
)
def test_a_number_that_is_too_large_is_refused_wherever_it_stands(number, after):
    """Texts without such numbers are read without a look at each number."""
    text = {"": number, " ": f"{number} ", "\n": f"[1,\n{number}\n]", ",": f"[{number},1]"}
    text |= {"]": f'["a{7 * "12,"}", [{number}]]', "}": f'{{"e": "e123", "a": {number}}}'}
    with pytest.raises(ValueError, match="beyond the numbers of a computer"):
        loads(text[after])
