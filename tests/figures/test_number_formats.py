"""Numbers and the order of labels on axes and in legends."""

import pytest

from gentool.figures import number_formats
from gentool.figures.legend import label_order


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.05, "0.05"), (300, "300"), (1024, "1024"), (1400, "1.4K"), (2048, "2048")),
        *((50_000, "50K"), (3_000_000, "3M"), (8191.999999999998, "8192"), (1000.25, "1000.25")),
    ],
)
def test_thousands_are_k_if_round_and_other_sizes_keep_all_their_digits(value, text):
    assert number_formats.size(value) == text


def test_labels_are_in_the_order_of_noise_then_numbers_by_size_then_words():
    """Numbers may be text, as the labels of a chart are."""
    for labels in (["true", 0.1, 0.5, "random"], ["9", "10", "mlp", "vgg"]):
        shuffled = [labels[i] for i in (2, 0, 3, 1)]
        assert sorted(shuffled, key=label_order) == labels
