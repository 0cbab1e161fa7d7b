"""The scores of measures against independent ones, written out pair by pair, and closed cases."""

import math
from collections import Counter, defaultdict
from itertools import combinations, permutations

import numpy as np
import pytest
from helpers.claim_records import network

from gentool.claims.correlation import correlation, correlations
from gentool.claims.sign_error import test_images as common_denominator
from gentool.claims.sign_error import weights

SETTINGS = ("hidden", "lr", "subset")
IMAGES = 10_000


def grid(measure, seeds=(0, 1), is_coarse=False):
    """Return a grid over three settings; `measure` takes gap, settings and a generator."""
    rng = np.random.default_rng(3)
    networks = []
    for hidden in (8, 16, 32):
        for lr in (0.01, 0.1):
            for subset in (500, 1000):
                for seed in seeds:
                    noise = rng.integers(0, 2000)
                    wrong = 1000 + 40 * hidden + int(4000 * lr) - subset + noise
                    gap = round(wrong / 500) * 500 / IMAGES if is_coarse else wrong / IMAGES
                    gap = gap if networks else 1 / IMAGES  # so that 10,000 images are known
                    made = {"hidden": hidden, "lr": lr, "subset": subset, "seed": seed}
                    networks.append(network(test_error=gap, l2=measure(gap, made, rng), **made))
    return networks


def theta(network):
    return tuple(network["recipe"][name] for name in SETTINGS)


def values(network):
    return float(network["log10"]["l2"]), float(network["outcome"]["test_error"])


def sign(a, b):
    return (a > b) - (a < b)


def psi_by_definition(networks):
    """Average tau over groups that share all settings but one and the seed, then over settings."""
    means = []
    for i in range(len(SETTINGS)):
        groups = defaultdict(list)
        for one in networks:
            rest = theta(one)[:i] + theta(one)[i + 1 :]
            groups[(*rest, one["recipe"]["seed"])].append(values(one))
        taus = []
        for group in groups.values():
            pairs = list(permutations(group, 2))
            if len(group) < 2:
                continue
            taus.append(sum(sign(a, c) * sign(b, d) for (a, b), (c, d) in pairs) / len(pairs))
        means.append(sum(taus) / len(taus))
    return sum(means) / len(means)


def entropy(counts):
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values() if n)


def information_by_definition(networks):
    """I(V_mu; V_g | U) / H(V_g | U) from entropies of counted tuples, least over the sets."""
    shares = []
    for size in (0, 1, 2):
        for chosen in combinations(range(len(SETTINGS)), size):
            joint, measure, gap, cells = Counter(), Counter(), Counter(), Counter()
            for one, other in permutations(networks, 2):
                if theta(one) == theta(other) or values(one)[1] == values(other)[1]:
                    continue
                u = tuple((theta(one)[i], theta(other)[i]) for i in chosen)
                v_mu, v_g = (sign(a, b) for a, b in zip(values(one), values(other), strict=True))
                joint[u, v_mu, v_g] += 1
                measure[u, v_mu] += 1
                gap[u, v_g] += 1
                cells[u] += 1
            conditional = entropy(gap) - entropy(cells)
            if conditional > 1e-12:
                mutual = entropy(gap) + entropy(measure) - entropy(joint) - entropy(cells)
                shares.append(mutual / conditional)
    return min(shares)


def sign_errors_by_definition(networks):
    """Return the weighted error of each pair of recipes that differ in one setting."""
    recipes = defaultdict(list)
    for one in networks:
        recipes[theta(one)].append(values(one))
    errors = []
    for one, other in combinations(recipes, 2):
        if sum(a != b for a, b in zip(one, other, strict=True)) != 1:
            continue
        total = squares = wrong = pairs = 0
        for a, b in recipes[one]:
            for c, d in recipes[other]:
                sure = max(0.0, 1 - 2 * math.exp(-2 * IMAGES * (abs(b - d) / 2) ** 2)) ** 2
                weight = max(0.0, sure - 0.5)
                total, squares, pairs = total + weight, squares + weight**2, pairs + 1
                wrong += weight * (1 - sign(a, c) * sign(b, d)) / 2
        if total and total**2 / squares >= min(12, pairs / 2) * (1 - 1e-9):
            errors.append(wrong / total)
    return errors


MEASURES = {
    "noisy": lambda gap, made, rng: gap + rng.normal(0, 0.1),
    "random": lambda gap, made, rng: rng.normal(),
    "of_one_setting": lambda gap, made, rng: math.log(made["hidden"]),
    "tied": lambda gap, made, rng: round(10 * gap),
}


@pytest.mark.parametrize("is_coarse", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_the_scores_are_those_of_their_definitions(name, is_coarse):
    """Pair by pair, with two and three seeds, with ties in the gap and in the measure."""
    for seeds in ((0,), (0, 1, 2)):
        networks = grid(MEASURES[name], seeds, is_coarse)
        row = correlation(networks, "l2", 0, 0)
        assert row.granulated == pytest.approx(psi_by_definition(networks))
        expected = information_by_definition(networks)
        assert row.conditional_information.value == pytest.approx(expected, abs=1e-9)
        errors = sign_errors_by_definition(networks)
        assert row.sign_error.test_images == IMAGES
        assert row.sign_error.environments == len(errors)
        assert row.sign_error.mean == pytest.approx(np.mean(errors))
        assert row.sign_error.worst == pytest.approx(max(errors))
        assert row.sign_error.deciles == pytest.approx(np.percentile(errors, range(0, 101, 10)))


def test_the_gap_itself_is_a_perfect_measure_and_its_negative_the_worst():
    """The information is that of both: knowing the reverse order is knowing the order."""
    perfect = correlation(grid(lambda gap, made, rng: gap), "l2", 100, 0)
    worst = correlation(grid(lambda gap, made, rng: -gap), "l2", 100, 0)
    assert (perfect.tau, perfect.granulated, perfect.sign_error.worst) == (1, 1, 0)
    assert (worst.tau, worst.granulated, worst.sign_error.mean) == (-1, -1, 1)
    for row in (perfect, worst):
        assert row.conditional_information.value == pytest.approx(1)
        assert row.conditional_information.interval == pytest.approx((1, 1))
    assert perfect.granulated_interval == pytest.approx((1, 1))
    assert perfect.sign_error.interval == (0, 0)


def test_a_random_measure_scores_nothing():
    rows = [
        correlation(grid(lambda gap, made, rng, s=s: hash((gap, s)) % 997, (0, 1, 2)), "l2", 0, 0)
        for s in range(30)
    ]
    for scores in ([r.granulated for r in rows], [r.sign_error.mean - 0.5 for r in rows]):
        assert abs(np.mean(scores)) < 4 * np.std(scores, ddof=1) / len(rows) ** 0.5
    assert np.mean([r.conditional_information.value for r in rows]) < 0.02


def test_a_measure_of_one_setting_has_no_information_given_that_setting():
    row = correlation(grid(MEASURES["of_one_setting"]), "l2", 0, 0)
    assert row.tau > 0.1
    assert row.conditional_information.value < 0.02
    assert "hidden" in row.conditional_information.given
    assert row.axes["lr"].tau == 0
    assert row.axes["lr"].tied == row.axes["lr"].groups


def test_seeds_are_no_independent_evidence():
    """The same values under ten seeds leave every interval as it is with one."""
    noisy = MEASURES["noisy"]
    once = grid(noisy, (0,))
    copies = []
    for one in once:
        for seed in range(10):
            copy = one | {"recipe": one["recipe"] | {"seed": seed}}
            copies.append(
                copy | {"checkpoint": {"file": f"{seed}", "sha256": f"{theta(one)}{seed}"}}
            )
    one, ten = (correlation(networks, "l2", 200, 5) for networks in (once, copies))
    assert (one.recipes, ten.recipes, ten.networks) == (12, 12, 120)
    assert ten.interval == pytest.approx(one.interval)
    assert ten.granulated_interval == pytest.approx(one.granulated_interval)
    assert ten.sign_error.interval == pytest.approx(one.sign_error.interval)
    one, ten = one.conditional_information, ten.conditional_information
    assert (one.value, one.interval) == (pytest.approx(ten.value), pytest.approx(ten.interval))


def test_four_recipes_have_no_interval_however_many_seeds():
    networks = [n for n in grid(MEASURES["noisy"], range(5)) if n["recipe"]["hidden"] == 8]
    row = correlation(networks, "l2", 100, 0)
    assert (row.networks, row.recipes, row.interval) == (20, 4, None)
    assert row.reason == "an interval needs 5 recipes that differ in more than their seed"


def test_small_gaps_weigh_nothing_and_large_ones_a_half():
    """By hand: with 10,000 images a gap of 0.0196 is the first that counts."""
    small, first, large = weights(np.array([0.019, 0.0198, 0.2]), IMAGES)
    assert (small, large) == (0, pytest.approx(0.5))
    assert 0 < first < 0.02
    assert list(weights(np.array([0.0, 0.001]), None)) == [0, 1]


def test_the_number_of_test_images_is_known_from_the_errors():
    """At most the true one: 0.25, 0.1 and 0.35 are fractions of 20."""
    assert common_denominator([0.25, 0.1, 0.35]) == 20
    assert common_denominator([3 / 10_000, 0.5]) == 10_000
    assert common_denominator([1 / math.pi]) is None


def test_the_loss_gap_has_no_weights():
    """Hoeffding's inequality bounds errors, not losses."""
    networks = grid(MEASURES["noisy"])
    for one in networks:
        one["outcome"] |= {"test_loss": one["outcome"]["test_error"] * 7, "train_loss": 0.0}
    row = correlation(networks, "l2", 0, 0, "loss_gap")
    assert (row.sign_error.test_images, row.sign_error.left_out) == (None, 0)


def test_measures_with_a_network_missing_are_scored_on_the_others():
    networks = grid(MEASURES["noisy"])
    networks[5]["measures"]["l2"] = networks[5]["log10"]["l2"] = None
    row = correlation(networks, "l2", 0, 0)
    others = [one for i, one in enumerate(networks) if i != 5]
    assert row.granulated == pytest.approx(psi_by_definition(others))
    assert row.conditional_information.value == pytest.approx(information_by_definition(others))


def test_all_measures_of_a_large_grid_are_scored_in_seconds():
    """110 networks and 60 measures; each of them alone would group the networks again."""
    from time import process_time

    networks = grid(MEASURES["noisy"], range(9))
    for i, one in enumerate(networks):
        for k in range(60):
            one["measures"][f"m{k}"] = 1.0 + (i * (k + 3)) % 101
            one["log10"][f"m{k}"] = math.log10(one["measures"][f"m{k}"])
    start = process_time()
    assert len(correlations(networks, None, 1000, 0)) == 61
    assert process_time() - start < 30
