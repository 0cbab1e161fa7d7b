"""Numbers and the order of labels on axes and in legends."""

import pytest

from gentool.figures import number_formats
from gentool.figures.legend import label_order


@pytest.mark.parametrize(
    ("value", "number", "size"),
    [(300, "300", "300"), (1400, "1.4K", "1.4K"), (2048, "2.05K", "2048"), (50_000, "50K", "50K")],
)
def test_thousands_are_k_and_a_size_keeps_all_its_digits(value, number, size):
    assert (number_formats.number(value), number_formats.size(value)) == (number, size)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.05, 2, "0.05"), (2000, 2, "2K"), (3e6, 2, "3M"), (1000.25, 6, "1000.25")],
)
def test_ticks_have_more_digits_where_the_axis_needs_them(value, digits, text):
    assert number_formats.tick(value, digits) == text


@pytest.mark.parametrize(
    ("exponent", "plain", "rounded"),
    [(14, "$10^{14}$", "$10^{14}$"), (14.30103, "$10^{14.301}$", "$2\\cdot10^{14}$")],
)
def test_powers_of_ten_have_an_exponent_or_one_digit_and_a_whole_exponent(exponent, plain, rounded):
    assert number_formats.power_of_ten(exponent) == plain
    assert number_formats.rounded_power_of_ten(exponent) == rounded


def test_labels_are_in_the_order_of_noise_then_numbers_by_size_then_words():
    """Numbers may be text, as the labels of a chart are."""
    for labels in (["true", 0.1, 0.5, "random"], ["9", "10", "mlp", "vgg"]):
        shuffled = [labels[i] for i in (2, 0, 3, 1)]
        assert sorted(shuffled, key=label_order) == labels
