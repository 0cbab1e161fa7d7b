"""Margins: values by hand, ties, and the rank of gamma among the sorted margins."""

import pytest
import torch

from gentool.measures import Measured, Undefined, margins
from gentool.measures.measured import margin_rank


def gamma(values, epsilon=0.05):
    return Measured(None, torch.tensor(values, dtype=torch.float64), epsilon=epsilon).gamma


def test_a_margin_is_the_logit_of_the_label_minus_the_largest_other_logit():
    """By hand: correct by 2; wrong by 3; a tie is 0; negative logits."""
    logits = torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0], [2.0, 2.0, 0.0], [-5.0, -7.0, -6.0]])
    labels = torch.tensor([0, 2, 1, 0])
    assert margins(logits, labels).tolist() == [2.0, -3.0, 0.0, 1.0]


def test_computing_margins_does_not_change_the_logits():
    logits = torch.tensor([[3.0, 1.0]])
    margins(logits, torch.tensor([0]))
    assert logits.tolist() == [[3.0, 1.0]]


@pytest.mark.parametrize(
    ("points", "rank"),
    [
        (1, 1),
        (19, 1),
        (20, 1),
        (21, 2),
        (39, 2),
        (40, 2),
        (41, 3),
        (100, 5),
        (101, 6),
        (50_000, 2500),
    ],
)
def test_the_rank_of_gamma_is_the_ceiling_of_epsilon_m(points, rank):
    """Also where epsilon m is an integer, though 0.05 is not exact in binary."""
    assert margin_rank(0.05, points) == rank


@pytest.mark.parametrize("epsilon", [0.01, 0.05, 0.07, 0.1, 0.29])
def test_the_rank_of_gamma_has_no_rounding_error(epsilon):
    """Compared with integer arithmetic, up to 5,000 points."""
    hundredths = round(100 * epsilon)
    for points in range(1, 5001):
        assert margin_rank(epsilon, points) == -(-hundredths * points // 100)


def test_gamma_is_the_kth_smallest_margin_and_not_interpolated():
    """Of 40 margins 1, 2, ..., 40 in any order, the second smallest."""
    values = [float(v) for v in range(40, 0, -1)]
    assert gamma(values) == 2.0
    assert gamma(values, epsilon=0.5) == 20.0


def test_gamma_among_ties_is_the_tied_value():
    assert gamma([1.0] * 3 + [2.0] * 37) == 1.0
    assert gamma([1.0] + [2.0] * 39) == 2.0


def test_gamma_is_undefined_without_data_or_with_nan():
    with pytest.raises(Undefined, match="without data"):
        _ = Measured(None).gamma
    with pytest.raises(Undefined, match="NaN or infinite"):
        gamma([1.0, float("nan")])
