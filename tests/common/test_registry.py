"""Registries: entries by name, in order, and the nearest name for one that is unknown."""

import pytest

from gentool.common.errors import UsageError
from gentool.common.registry import FunctionRegistry, Registry, claim_parts, definition_parts


def test_an_unknown_name_is_answered_with_the_nearest():
    """The error names the kind of entry, the nearest name, and all names in their order."""
    fruits = Registry("fruit", {"pear": 1, "apple": 2})
    with pytest.raises(UsageError, match=r"unknown fruit 'appel' \(did you mean 'apple'\?\)") as e:
        fruits["appel"]
    assert str(e.value).endswith("known: pear, apple")


def test_entries_are_in_the_order_of_addition_or_of_their_names():
    """Iterating gives the entries; `names` gives the names in the same order."""
    for is_sorted, names in ((False, ["pear", "apple"]), (True, ["apple", "pear"])):
        fruits = Registry("fruit", {"pear": 1}, is_sorted=is_sorted)
        fruits.add("apple", 2)
        assert fruits.names == names
        assert list(fruits) == [fruits[name] for name in names]


def test_a_function_is_registered_under_its_own_name():
    """With hyphens for underscores; the decorator returns the function itself."""
    fruits = FunctionRegistry("fruit")

    @fruits.register
    def red_apple():
        return "red"

    assert fruits["red-apple"] is red_apple


def test_docstrings_are_read_by_line_or_by_paragraph():
    """A definition has an indented formula; a claim has its rule between first and last part."""
    definition = "Sum.\n\n    a + b\n\na, b are numbers.\nGauss, 1801."
    assert definition_parts(definition) == ("Sum.", "a + b", "Gauss, 1801.")
    assert claim_parts("It\nfalls.\n\nAt once.\n\nFigure 1.") == (
        "It falls.",
        "At once.",
        "Figure 1.",
    )
