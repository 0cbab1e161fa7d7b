"""What is said of each claim, on numbers made by hand; what is missing is named."""

from itertools import permutations

import pytest
from helpers.claim_records import along, labelled, network

from gentool.claims import CLAIMS, judge
from gentool.claims.trend import chance

NORMS = ("l2", "l1_path", "l2_path", "spectral")


def said(networks, claim, key="l2"):
    """The one row of a claim by a key: its verdict and its numbers."""
    rows, _ = judge(networks)
    [row] = [row for row in rows if (row.claim.id, row.key) == (claim, key)]
    return str(row.verdict.outcome), row.verdict.numbers


def test_1a_holds_where_every_size_does():
    assert said(labelled([1, 2, 3], [2, 3, 4]), "1a") == ("holds", "3 of 3 sizes larger")
    assert said(labelled([1, 2, 3], [2, 1, 4]), "1a") == ("fails", "2 of 3 sizes larger")
    verdict, numbers = said(labelled([1, 2], [2, 2]), "1a")
    assert verdict == "cannot be told"
    assert numbers == "1 of 2 sizes larger, 1 cannot be told apart"


def test_1a_compares_the_sizes_that_have_both():
    assert said(labelled([1, None, 3], [2, 1, 4]), "1a") == ("holds", "2 of 2 sizes larger")
    verdict, numbers = said(labelled([1, None], [None, 1]), "1a")
    assert (verdict, numbers) == ("cannot be judged", "no size has both true and random labels")


def test_1b_is_a_trend_of_the_gap():
    """Gaps 1, 2, 3, 4 rise; 4, 3, 2, 1 fall; of three sizes the chance is 1 in 6."""
    verdict, numbers = said(labelled([0, 0, 0, 0], [1, 2, 3, 4]), "1b")
    assert (verdict, numbers) == ("holds", "6 of 6 pairs rise, τ 1.00, p 0.042")
    assert said(labelled([0, 0, 0, 0], [4, 3, 2, 1]), "1b")[0] == "fails"
    verdict, numbers = said(labelled([0, 0, 0], [1, 2, 3]), "1b")
    assert (verdict, numbers) == ("cannot be told", "3 of 3 pairs rise, τ 1.00, p 0.17")
    verdict, numbers = said(labelled([0, 0], [1, 2]), "1b")
    assert (verdict, numbers) == ("cannot be judged", "a trend needs 3 sizes or more; here are 2")


def test_the_chance_of_a_trend_is_that_of_all_orders():
    """Against every permutation of five."""
    orders = list(permutations(range(5)))
    pairs = [(i, j) for j in range(5) for i in range(j)]
    scores = [sum(1 if order[i] < order[j] else -1 for i, j in pairs) for order in orders]
    for score in range(-10, 11, 2):
        assert chance(5, score) == sum(s >= score for s in scores) / len(scores)


def test_2_looks_at_the_smaller_half():
    """Of four sizes two, of three two."""
    lower = labelled([0.5, 0.4, 0.3, 0.2], [0.4, 0.3, 0.4, 0.5], "sharpness")
    assert said(lower, "2", "sharpness") == ("holds", "2 of 2 small sizes lower")
    higher = labelled([0.5, 0.4, 0.3], [0.4, 0.5, 0.2], "sharpness")
    assert said(higher, "2", "sharpness") == ("fails", "1 of 2 small sizes lower")


def test_2_takes_a_sharpness_of_zero():
    assert said(labelled([0.5], [0.0], "sharpness"), "2", "sharpness")[0] == "holds"


def curves(true, random):
    """Networks of one size, with the curves [(KL, value, stderr)]."""
    return [network(labels="true", curve=true), network(labels="random", curve=random)]


def test_3a_compares_at_the_same_kl_by_two_standard_errors():
    low = [(10, 0.2, 0.01), (100, 0.1, 0.01), (1000, 0.0, 0.0)]
    high = [(20, 0.3, 0.01), (200, 0.2, 0.01)]
    key = "expected_sharpness.curve"
    assert said(curves(low, high), "3a", key) == ("holds", "1 of 1 sizes above")
    assert said(curves(high, low), "3a", key)[0] == "fails"
    noisy = [(20, 0.3, 0.2), (200, 0.2, 0.2)]
    assert said(curves(low, noisy), "3a", key)[0] == "cannot be told"


def test_3a_asks_for_more_the_more_kls_are_compared():
    """2.5 standard errors at one of two shared KLs are told apart, at one of fifty are chance."""
    key = "expected_sharpness.curve"
    for count, verdict in ((2, "holds"), (50, "cannot be told")):
        kls = [10 * 1.1**i for i in range(count)]
        true = [(kl, 0.1, 0.01) for kl in kls]
        random = [(kl, 0.1 + (0.0253 if kl == 10 else 0), 0.0) for kl in kls]
        assert said(curves(true, random), "3a", key)[0] == verdict


def test_3a_of_curves_that_share_no_kl_compares_the_ends_that_face_each_other():
    """Both fall: above its value at 50, the true curve is below 0.1 at 500 as well."""
    true, random = [(10, 0.3, 0.0), (50, 0.1, 0.0)], [(500, 0.3, 0.0), (900, 0.2, 0.0)]
    assert said(curves(true, random), "3a", "expected_sharpness.curve")[0] == "holds"
    assert said(curves(random, true), "3a", "expected_sharpness.curve")[0] == "fails"


def test_3b_compares_the_range_of_log_kl():
    key = "expected_sharpness_kl"
    verdict, numbers = said(labelled([5, 5.5], [6, 8], key), "3b", key)
    assert verdict == "holds"
    assert numbers == "log10 KL spreads by 2.00 random, 0.50 true"
    assert said(labelled([5, 7], [6, 6.1], key), "3b", key)[0] == "fails"


def test_3b_within_two_standard_errors_cannot_be_told():
    """Spreads 0.5 and 0.6 of KLs known to 20 %: 0.087 each in log10, 0.17 for the difference."""
    key = "expected_sharpness_kl"
    networks = labelled([5, 5.5], [6, 6.6], key)
    for one in networks:
        one["measures"][f"{key}_stderr"] = 0.2 * one["measures"][key]
    assert said(networks, "3b", key)[0] == "cannot be told"


def test_a_kl_at_one_given_alpha_is_not_the_kl_at_the_level():
    networks = labelled([5, 5.5], [6, 8], "expected_sharpness_kl")
    networks[0]["measures"]["expected_sharpness"] = 0.3
    verdict, numbers = said(networks, "3b", "expected_sharpness_kl")
    assert verdict == "cannot be judged"
    assert "1 with no expected_sharpness_kl" in numbers


def confused(values, key, **others):
    return along("confusion", dict(enumerate(values)), key, **others)


def test_4a_needs_a_rising_test_error_and_no_training_error():
    rising = confused([0.1, 0.2, 0.3, 0.4], "test_error")
    key = "outcome.test_error"
    assert said(rising, "4a", key)[0] == "holds"
    assert said(confused([0.4, 0.3, 0.2, 0.1], "test_error"), "4a", key)[0] == "fails"
    rising[3]["outcome"]["confusion_error"] = 0.1
    verdict, numbers = said(rising, "4a", key)
    assert verdict == "fails"
    assert numbers.startswith("1 of 4 networks have a training error; 6 of 6 pairs rise")


@pytest.mark.parametrize(
    ("claim", "key"), [*(("4b", key) for key in NORMS), ("4d", "expected_sharpness_kl")]
)
def test_4b_and_4d_rise(claim, key):
    assert said(confused([1, 2, 3, 4], key), claim, key)[0] == "holds"
    assert said(confused([4, 2, 3, 1], key), claim, key)[0] == "fails"
    assert said(confused([1, 3, 2, 4], key), claim, key)[0] == "cannot be told"


def test_4c_is_the_contrary_of_rising():
    assert said(confused([4, 3, 2, 1], "sharpness"), "4c", "sharpness")[0] == "holds"
    assert said(confused([1, 2, 3, 4], "sharpness"), "4c", "sharpness")[0] == "fails"
    assert said(confused([1, 3, 2, 4], "sharpness"), "4c", "sharpness")[0] == "cannot be told"


def wide(values, key, **others):
    """Networks of 32, 64, 128, ... hidden units."""
    widths = {32 * 2**i: value for i, value in enumerate(values)}
    return along("hidden", widths, key, model="mlp", **others)


def test_5a_falls_well_past_the_width_that_fits():
    key = "outcome.test_error"
    fitted = wide([0.5, 0.4, 0.3, 0.2], "test_error")
    assert said(fitted, "5a", key)[0] == "holds"
    turning = wide([0.5, 0.1, 0.3, 0.2], "test_error")
    assert said(turning, "5a", key)[0] == "fails"
    unfitted = wide([0.5, 0.4, 0.3, 0.2], "test_error", train_error=0.1)
    assert said(unfitted, "5a", key) == ("cannot be judged", "no width has zero training error")


def test_5b_falls_to_128_and_rises_from_there():
    assert said(wide([3, 2, 1, 2, 3, 4], "l2"), "5b")[0] == "holds"
    assert said(wide([3, 2, 4, 3, 2, 1], "l2"), "5b")[0] == "fails"
    verdict, numbers = said(wide([3, 2], "l2"), "5b")
    assert verdict == "cannot be judged"
    assert numbers == "needs networks that fit with 128 hidden units and with fewer"


def test_5c_falls():
    assert said(wide([4, 3, 2, 1], "spectral"), "5c", "spectral")[0] == "holds"
    assert said(wide([1, 2, 3, 4], "spectral"), "5c", "spectral")[0] == "fails"


def test_networks_that_did_not_fit_are_left_out_and_named():
    networks = labelled([1, 2], [2, 3]) + labelled([None, None, 1], [None, None, 9])
    networks[-1]["outcome"]["train_error"] = 0.01
    rows, _ = judge(networks)
    row = next(row for row in rows if row.claim.id == "1a" and row.key == "l2")
    assert row.verdict.numbers == "2 of 2 sizes larger"
    [left] = row.left_out
    assert left.reason == "training error above 0 or unknown"
    assert [name.split("-")[2:4] for name in left.networks] == [["labelsrandom", "subset3000"]]


def test_what_is_missing_is_named_with_the_command_that_makes_it():
    """No sharpness file: the row says how many networks lack it, and which command finds it."""
    verdict, numbers = said(labelled([1, 2], [2, 3]), "2", "sharpness")
    assert verdict == "cannot be judged"
    assert "4 with no sharpness (gentool sharpness)" in numbers
    _, numbers = said(labelled([1, 2], [2, 3]), "3a", "expected_sharpness.curve")
    assert "4 with no expected_sharpness.curve (gentool sharpness --expected)" in numbers


def test_a_claim_about_networks_that_are_not_there_has_one_row():
    verdict, numbers = said(labelled([1], [2]), "4b", ", ".join(NORMS))
    assert verdict == "cannot be judged"
    assert numbers.startswith("needs networks with confusion sets of several sizes")


def test_several_families_have_rows_of_their_own_named_by_what_differs():
    """Learning rates 0.01 and 0.1: the claim holds in one and fails in the other."""
    rows, _ = judge(labelled([1, 2], [2, 3]) + labelled([2, 3], [1, 2], lr=0.1))
    rows = [row for row in rows if (row.claim.id, row.key) == ("1a", "l2")]
    found = {row.family.name: str(row.verdict.outcome) for row in rows}
    assert found == {"lr 0.01": "holds", "lr 0.1": "fails"}


def test_seeds_are_averaged_as_logarithms():
    """True 1 and 3, random 2.5: 2 below 2.5; with one seed 3 above 2.5."""
    networks = [
        network(labels="true", seed=0, l2=1),
        network(labels="true", seed=1, l2=3),
        network(labels="random", seed=0, l2=2.5),
    ]
    rows, _ = judge(networks)
    row = next(row for row in rows if row.claim.id == "1a" and row.key == "l2")
    assert str(row.verdict.outcome) == "holds"
    assert row.verdict.evidence[0]["true"]["seeds"] == 2
    assert said(networks[1:], "1a")[0] == "fails"


def test_three_seeds_have_a_standard_error():
    """Means 2 and 2.5 with a spread of 1 over three seeds: not told apart."""
    networks = [
        network(labels=labels, seed=seed, l2=centre + seed)
        for labels, centre in (("true", 1), ("random", 1.5))
        for seed in range(3)
    ]
    assert said(networks, "1a")[0] == "cannot be told"


def test_curves_of_three_seeds_have_that_of_their_mean():
    """Sampled exactly, but the seeds differ by more than the labels do: not told apart."""
    networks = [
        network(labels=labels, seed=seed, curve=[(10, 2 * high, 1e-6), (100, high, 1e-6)])
        for labels, lowest in (("true", 0.1), ("random", 0.11))
        for high in (lowest, lowest + 0.05, lowest + 0.1)
        for seed in [round(100 * (high - lowest))]
    ]
    assert said(networks[:1] + networks[3:4], "3a", "expected_sharpness.curve")[0] == "holds"
    assert said(networks, "3a", "expected_sharpness.curve")[0] == "cannot be told"


def test_measures_of_several_settings_are_no_comparison():
    networks = labelled([1], [2])
    for one, epsilon in zip(networks, (0.05, 0.1), strict=True):
        one["margin"] = {"epsilon": epsilon}
    verdict, numbers = said(networks, "1a")
    assert (verdict, numbers) == ("cannot be judged", "l2 has several values of epsilon: 0.05, 0.1")


def test_networks_of_other_programs_are_left_out_and_named():
    foreign = network(l2=1) | {"recipe": None}
    rows, [left] = judge([foreign])
    assert {str(row.verdict.outcome) for row in rows} == {"cannot be judged"}
    assert left.reason == "not known what they were trained on"


@pytest.mark.parametrize("claim", list(CLAIMS), ids=lambda claim: claim.id)
def test_every_claim_says_what_is_judged_and_where_it_stands_in_the_paper(claim):
    assert claim.statement.endswith(".")
    assert len(claim.rule) > 20
    assert claim.source.startswith("Figure ")
