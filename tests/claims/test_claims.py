"""Each claim is judged right on numbers made by hand, and missing numbers are named."""

from itertools import combinations, permutations

import pytest
from helpers.claim_records import along, labelled, network
from helpers.records import whole
from scipy.stats import kendalltau

from gentool.claims import CLAIMS, judge
from gentool.claims.trend import p_value
from gentool.records.measure_file import check_record

NORMS = ("l2", "l1_path", "l2_path", "spectral")


def verdict_on(networks, claim, key="l2"):
    """Return the verdict and the numbers of the only row of a claim by a key."""
    rows, _ = judge(networks)
    [row] = [row for row in rows if (row.claim.id, row.key) == (claim, key)]
    return str(row.verdict.ruling), row.verdict.numbers


def test_1a_holds_where_norms_are_larger_at_every_size():
    assert verdict_on(labelled([1, 2, 3], [2, 3, 4]), "1a") == ("holds", "3 of 3 sizes larger")
    assert verdict_on(labelled([1, 2, 3], [2, 1, 4]), "1a") == ("fails", "2 of 3 sizes larger")
    verdict, numbers = verdict_on(labelled([1, 2], [2, 2]), "1a")
    assert verdict == "cannot be told"
    assert numbers == "1 of 2 sizes larger, 1 cannot be told apart"


def test_1a_compares_the_sizes_with_both_true_and_random_labels():
    assert verdict_on(labelled([1, None, 3], [2, 1, 4]), "1a") == ("holds", "2 of 2 sizes larger")
    verdict, numbers = verdict_on(labelled([1, None], [None, 1]), "1a")
    assert (verdict, numbers) == ("cannot be judged", "no size has both true and random labels")


def test_1b_holds_where_the_gap_rises_with_the_size():
    """Gaps 1, 2, 3, 4 rise; 4, 3, 2, 1 fall; with three sizes p is 1/6 at best."""
    verdict, numbers = verdict_on(labelled([0, 0, 0, 0], [1, 2, 3, 4]), "1b")
    assert (verdict, numbers) == ("holds", "6 of 6 pairs rise, τ 1.00, p 0.042")
    assert verdict_on(labelled([0, 0, 0, 0], [4, 3, 2, 1]), "1b")[0] == "fails"
    verdict, numbers = verdict_on(labelled([0, 0, 0], [1, 2, 3]), "1b")
    assert (verdict, numbers) == ("cannot be told", "3 of 3 pairs rise, τ 1.00, p 0.17")
    verdict, numbers = verdict_on(labelled([0, 0], [1, 2]), "1b")
    assert (verdict, numbers) == ("cannot be judged", "a trend needs 3 sizes or more; here are 2")


def test_the_p_value_of_a_trend_is_its_share_of_all_orders():
    """Counted over every permutation of five."""
    orders = list(permutations(range(5)))
    pairs = [(i, j) for j in range(5) for i in range(j)]
    scores = [sum(1 if order[i] < order[j] else -1 for i, j in pairs) for order in orders]
    for score in range(-10, 11, 2):
        assert p_value(5, score) == sum(s >= score for s in scores) / len(scores)


def test_the_p_value_of_a_trend_agrees_with_scipy():
    """Six sizes without ties: 13 pairs rise, 2 fall."""
    order = [0, 2, 1, 3, 5, 4]
    score = sum(1 if a < b else -1 for a, b in combinations(order, 2))
    exact = kendalltau(range(6), order, alternative="greater", method="exact").pvalue
    assert p_value(6, score) == pytest.approx(exact)


def test_2_judges_the_smaller_half_of_the_sizes():
    """Two of four sizes, two of three."""
    lower = labelled([0.5, 0.4, 0.3, 0.2], [0.4, 0.3, 0.4, 0.5], "sharpness")
    assert verdict_on(lower, "2", "sharpness") == ("holds", "2 of 2 small sizes lower")
    higher = labelled([0.5, 0.4, 0.3], [0.4, 0.5, 0.2], "sharpness")
    assert verdict_on(higher, "2", "sharpness") == ("fails", "1 of 2 small sizes lower")


def test_2_accepts_a_sharpness_of_zero():
    assert verdict_on(labelled([0.5], [0.0], "sharpness"), "2", "sharpness")[0] == "holds"


def curves(true, random):
    """Return networks of one size, with the curves [(KL, value, stderr)]."""
    return [network(labels="true", curve=true), network(labels="random", curve=random)]


def test_3a_compares_at_the_same_kl_by_two_standard_errors():
    low = [(10, 0.2, 0.01), (100, 0.1, 0.01), (1000, 0.0, 0.0)]
    high = [(20, 0.3, 0.01), (200, 0.2, 0.01)]
    key = "expected_sharpness.curve"
    assert verdict_on(curves(low, high), "3a", key) == ("holds", "1 of 1 sizes above")
    assert verdict_on(curves(high, low), "3a", key)[0] == "fails"
    noisy = [(20, 0.3, 0.2), (200, 0.2, 0.2)]
    assert verdict_on(curves(low, noisy), "3a", key)[0] == "cannot be told"


def test_3a_needs_a_larger_difference_where_more_kls_are_compared():
    """2.5 standard errors at one of two shared KLs are a difference, at one of fifty chance."""
    key = "expected_sharpness.curve"
    for count, verdict in ((2, "holds"), (50, "cannot be told")):
        kls = [10 * 1.1**i for i in range(count)]
        true = [(kl, 0.1, 0.01) for kl in kls]
        random = [(kl, 0.1 + (0.0253 if kl == 10 else 0), 0.0) for kl in kls]
        assert verdict_on(curves(true, random), "3a", key)[0] == verdict


def test_3a_of_curves_that_share_no_kl_compares_the_ends_that_face_each_other():
    """Both fall: above its value at 50, the true curve is below 0.1 at 500 as well."""
    true, random = [(10, 0.3, 0.0), (50, 0.1, 0.0)], [(500, 0.3, 0.0), (900, 0.2, 0.0)]
    assert verdict_on(curves(true, random), "3a", "expected_sharpness.curve")[0] == "holds"
    assert verdict_on(curves(random, true), "3a", "expected_sharpness.curve")[0] == "fails"


def test_3b_compares_the_range_of_log_kl():
    key = "expected_sharpness_kl"
    verdict, numbers = verdict_on(labelled([5, 5.5], [6, 8], key), "3b", key)
    assert verdict == "holds"
    assert numbers == "log10 KL spreads by 2.00 random, 0.50 true"
    assert verdict_on(labelled([5, 7], [6, 6.1], key), "3b", key)[0] == "fails"


def test_3b_is_undecided_within_two_standard_errors():
    """Spreads 0.5 and 0.6 of KLs known to 20 %: 0.087 each in log10, 0.17 for the difference."""
    key = "expected_sharpness_kl"
    networks = labelled([5, 5.5], [6, 6.6], key)
    for record in networks:
        record["measures"][f"{key}_stderr"] = 0.2 * record["measures"][key]
    assert verdict_on(networks, "3b", key)[0] == "cannot be told"


def test_a_kl_sampled_at_one_alpha_is_not_the_kl_at_expected_sharpness_0_05():
    networks = labelled([5, 5.5], [6, 8], "expected_sharpness_kl")
    networks[0]["measures"]["expected_sharpness"] = 0.3
    networks[0]["command"] = {"name": "sharpness", "expected": True, "alpha": 0.01}
    networks = [check_record(whole(network), "a.json") for network in networks]
    verdict, numbers = verdict_on(networks, "3b", "expected_sharpness_kl")
    assert verdict == "cannot be judged"
    assert "1 with no expected_sharpness_kl" in numbers


def confused(values, key, **others):
    return along("confusion", dict(enumerate(values)), key, **others)


def test_4a_needs_a_rising_test_error_and_no_training_error():
    rising = confused([0.1, 0.2, 0.3, 0.4], "test_error")
    key = "outcome.test_error"
    assert verdict_on(rising, "4a", key)[0] == "holds"
    assert verdict_on(confused([0.4, 0.3, 0.2, 0.1], "test_error"), "4a", key)[0] == "fails"
    rising[3]["outcome"]["confusion_error"] = 0.1
    verdict, numbers = verdict_on(rising, "4a", key)
    assert verdict == "fails"
    assert numbers.startswith("1 of 4 networks have a training error; 6 of 6 pairs rise")


@pytest.mark.parametrize(
    ("claim", "key"), [*(("4b", key) for key in NORMS), ("4d", "expected_sharpness_kl")]
)
def test_4b_and_4d_hold_where_the_measure_rises(claim, key):
    assert verdict_on(confused([1, 2, 3, 4], key), claim, key)[0] == "holds"
    assert verdict_on(confused([4, 2, 3, 1], key), claim, key)[0] == "fails"
    assert verdict_on(confused([1, 3, 2, 4], key), claim, key)[0] == "cannot be told"


def test_4c_fails_where_sharpness_rises_and_holds_where_it_falls():
    assert verdict_on(confused([4, 3, 2, 1], "sharpness"), "4c", "sharpness")[0] == "holds"
    assert verdict_on(confused([1, 2, 3, 4], "sharpness"), "4c", "sharpness")[0] == "fails"
    assert verdict_on(confused([1, 3, 2, 4], "sharpness"), "4c", "sharpness")[0] == "cannot be told"


def wide(values, key, **others):
    """Return networks of 32, 64, 128, ... hidden units."""
    widths = {32 * 2**i: value for i, value in enumerate(values)}
    return along("hidden", widths, key, model="mlp", **others)


def test_5a_holds_where_the_error_falls_well_past_the_width_that_fits():
    key = "outcome.test_error"
    fitted = wide([0.5, 0.4, 0.3, 0.2], "test_error")
    assert verdict_on(fitted, "5a", key)[0] == "holds"
    turning = wide([0.5, 0.1, 0.3, 0.2], "test_error")
    assert verdict_on(turning, "5a", key)[0] == "fails"
    unfitted = wide([0.5, 0.4, 0.3, 0.2], "test_error", train_error=0.1)
    assert verdict_on(unfitted, "5a", key) == (
        "cannot be judged",
        "no width has zero training error",
    )


def test_5a_counts_an_error_on_the_confusion_set_as_a_training_error():
    networks = wide([0.5, 0.4, 0.3, 0.2, 0.1], "test_error")
    networks[0]["outcome"]["confusion_error"] = 0.1
    assert verdict_on(networks, "5a", "outcome.test_error")[1].startswith("64 units fit")


def test_5b_holds_where_norms_fall_to_128_units_then_rise():
    assert verdict_on(wide([3, 2, 1, 2, 3, 4], "l2"), "5b")[0] == "holds"
    assert verdict_on(wide([3, 2, 4, 3, 2, 1], "l2"), "5b")[0] == "fails"
    verdict, numbers = verdict_on(wide([3, 2], "l2"), "5b")
    assert verdict == "cannot be judged"
    assert numbers == "needs networks that fit with 128 hidden units and with fewer"


def test_5c_holds_where_norms_fall_with_the_width():
    assert verdict_on(wide([4, 3, 2, 1], "spectral"), "5c", "spectral")[0] == "holds"
    assert verdict_on(wide([1, 2, 3, 4], "spectral"), "5c", "spectral")[0] == "fails"


def test_networks_with_a_training_error_are_left_out_and_named():
    networks = labelled([1, 2], [2, 3]) + labelled([None, None, 1], [None, None, 9])
    networks[-1]["outcome"]["train_error"] = 0.01
    rows, _ = judge(networks)
    row = next(row for row in rows if row.claim.id == "1a" and row.key == "l2")
    assert row.verdict.numbers == "2 of 2 sizes larger"
    [left] = row.left_out
    assert left.reason == "training error above 0 or unknown"
    assert [name.split("-")[2:4] for name in left.networks] == [["labelsrandom", "subset3000"]]


def test_a_missing_measure_is_named_with_the_command_that_computes_it():
    """No sharpness file: the row says how many networks lack it, and which command computes it."""
    verdict, numbers = verdict_on(labelled([1, 2], [2, 3]), "2", "sharpness")
    assert verdict == "cannot be judged"
    assert "4 with no sharpness (gentool sharpness)" in numbers
    _, numbers = verdict_on(labelled([1, 2], [2, 3]), "3a", "expected_sharpness.curve")
    assert "4 with no expected_sharpness.curve (gentool sharpness --expected)" in numbers


def test_a_claim_without_a_family_to_judge_has_one_row():
    verdict, numbers = verdict_on(labelled([1], [2]), "4b", ", ".join(NORMS))
    assert verdict == "cannot be judged"
    assert numbers.startswith("needs networks with confusion sets of several sizes")


def test_each_family_has_its_own_row_named_by_the_setting_that_differs():
    """Learning rates 0.01 and 0.1: the claim holds in one and fails in the other."""
    rows, _ = judge(labelled([1, 2], [2, 3]) + labelled([2, 3], [1, 2], lr=0.1))
    rows = [row for row in rows if (row.claim.id, row.key) == ("1a", "l2")]
    rulings = {row.family.name: str(row.verdict.ruling) for row in rows}
    assert rulings == {"lr 0.01": "holds", "lr 0.1": "fails"}


def test_seeds_are_averaged_as_logarithms():
    """True 1 and 3, random 2.5: 2 below 2.5; with one seed 3 above 2.5."""
    networks = [
        network(labels="true", seed=0, l2=1),
        network(labels="true", seed=1, l2=3),
        network(labels="random", seed=0, l2=2.5),
    ]
    rows, _ = judge(networks)
    row = next(row for row in rows if row.claim.id == "1a" and row.key == "l2")
    assert str(row.verdict.ruling) == "holds"
    assert row.verdict.evidence[0]["true"]["seeds"] == 2
    assert verdict_on(networks[1:], "1a")[0] == "fails"


def test_three_seeds_give_a_standard_error():
    """Means 2 and 2.5 with a spread of 1 over three seeds: undecided."""
    networks = [
        network(labels=labels, seed=seed, l2=centre + seed)
        for labels, centre in (("true", 1), ("random", 1.5))
        for seed in range(3)
    ]
    assert verdict_on(networks, "1a")[0] == "cannot be told"


def test_curves_of_three_seeds_have_the_standard_error_of_their_mean():
    """Sampled exactly, but the seeds differ by more than the labels do: undecided."""
    networks = [
        network(labels=labels, seed=seed, curve=[(10, 2 * high, 1e-6), (100, high, 1e-6)])
        for labels, lowest in (("true", 0.1), ("random", 0.11))
        for high in (lowest, lowest + 0.05, lowest + 0.1)
        for seed in [round(100 * (high - lowest))]
    ]
    assert verdict_on(networks[:1] + networks[3:4], "3a", "expected_sharpness.curve")[0] == "holds"
    assert verdict_on(networks, "3a", "expected_sharpness.curve")[0] == "cannot be told"


def test_measures_computed_with_different_settings_are_not_compared():
    networks = labelled([1], [2])
    for record, epsilon in zip(networks, (0.05, 0.1), strict=True):
        record["margin"] = {"epsilon": epsilon}
    verdict, numbers = verdict_on(networks, "1a")
    assert (verdict, numbers) == ("cannot be judged", "l2 has several values of epsilon: 0.05, 0.1")


def test_networks_of_other_programs_are_left_out_and_named():
    foreign = network(l2=1) | {"recipe": None}
    rows, [left] = judge([foreign])
    assert {str(row.verdict.ruling) for row in rows} == {"cannot be judged"}
    assert left.reason == "not known what they were trained on"


@pytest.mark.parametrize("claim", list(CLAIMS), ids=lambda claim: claim.id)
def test_every_claim_has_a_statement_a_rule_and_its_figure(claim):
    assert claim.statement.endswith(".")
    assert len(claim.rule) > 20
    assert claim.source.startswith("Figure ")


def test_a_search_that_was_cut_short_is_left_out_with_the_reason():
    """And judged, in words, where every search was."""
    networks = labelled([2, 2], [1, 1], key="sharpness")
    for record in networks:
        record["sharpness"] = {"points": [{"stopped": "time"}]}
    verdict, numbers = verdict_on(networks, "2", "sharpness")
    assert (verdict, numbers) == ("holds", "1 of 1 small sizes lower; all searches were cut short")
    networks[0]["sharpness"] = {"points": [{"stopped": None}]}
    networks[2]["sharpness"] = {"points": [{"stopped": None}]}
    [row] = [row for row in judge(networks)[0] if row.claim.id == "2"]
    assert [left.reason for left in row.left_out] == ["the search was cut short"]
    assert len(row.networks) == 2


def test_checkpoints_of_one_training_are_no_seeds():
    networks = labelled([1], [2]) + labelled([1.5], [3])
    for i, record in enumerate(networks):
        record["checkpoint"]["sha256"] = str(i)
    verdict, numbers = verdict_on(networks, "1a")
    assert verdict == "cannot be judged"
    assert "give one of them" in numbers
