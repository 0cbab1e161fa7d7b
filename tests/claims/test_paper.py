"""Every claim holds on the paper's own numbers, as the paper says."""

from math import log10

import pytest
from helpers.claim_records import log_kl, network
from helpers.paper_values import (
    CURVES,
    NORMS,
    RESCALED,
    SHARPNESS,
    SIZES,
    TEST_ERRORS,
    TRAIN_ERRORS,
)

from gentool.claims import judge

LABELS = ("true", "random")


def verdicts(networks):
    """Return {(claim, key): ruling} of one family."""
    rows, _ = judge(networks)
    return {(row.claim.id, row.key): str(row.verdict.ruling) for row in rows}


def test_claims_1a_and_1b_hold_on_figure_1():
    """By every measure, although every gap falls in the last step."""
    networks = [
        network(labels=labels, subset=size, **{key: NORMS[key][labels][i] for key in NORMS})
        for labels in LABELS
        for i, size in enumerate(SIZES)
    ]
    rulings = verdicts(networks)
    assert {rulings[claim, key] for claim in ("1a", "1b") for key in NORMS} == {"holds"}


def test_claim_2_holds_on_figure_2_left():
    """Lower with random labels at 5,000, 10,000 and 20,000 images; higher from 30,000 on."""
    networks = [
        network(labels=labels, subset=size, sharpness=SHARPNESS[labels][i])
        for labels in LABELS
        for i, size in enumerate(SIZES)
    ]
    assert verdicts(networks)["2", "sharpness"] == "holds"
    assert verdicts([n for n in networks if n["recipe"]["subset"] > 20_000])["2", "sharpness"] == (
        "fails"
    )


def test_claims_3a_and_3b_hold_on_figure_2_middle_and_right():
    networks = [
        network(
            labels=labels,
            subset=size,
            expected_sharpness_kl=log_kl(curve),
            curve=[(kl, value, 0.0) for kl, value in curve],
        )
        for labels in LABELS
        for size, curve in CURVES[labels].items()
    ]
    rulings = verdicts(networks)
    assert rulings["3a", "expected_sharpness.curve"] == "holds"
    assert rulings["3b", "expected_sharpness_kl"] == "holds"


def widths():
    """Yield networks of 8 to 8192 units; 0.01 is added to rescaled measures, for 0 has no log."""
    for i, (train, test) in enumerate(zip(TRAIN_ERRORS, TEST_ERRORS, strict=True)):
        norms = {key: log10(0.01 + RESCALED[key][i - 2]) for key in RESCALED if i > 1}
        yield network(model="mlp", hidden=8 * 2**i, train_error=train, test_error=test, **norms)


@pytest.mark.parametrize(
    ("claim", "key"),
    [
        ("5a", "outcome.test_error"),
        *[("5b", key) for key in ("l2", "l1_path")],
        *[("5c", key) for key in ("l2_path", "spectral")],
    ],
)
def test_claims_5a_to_5c_hold_on_figure_4(claim, key):
    assert verdicts(list(widths()))[claim, key] == "holds"


def test_claims_5b_and_5c_fail_where_two_measures_of_figure_4_are_swapped():
    """l2-path named l2 does not rise from 128 up, and l2 named l2-path does not fall."""
    swapped = {"l2": "l2_path", "l2_path": "l2", "l1_path": "l1_path", "spectral": "spectral"}
    networks = list(widths())
    for record in networks:
        record["log10"] = {swapped[key]: value for key, value in record["log10"].items()}
    rulings = verdicts(networks)
    assert (rulings["5b", "l2"], rulings["5c", "l2_path"]) == ("fails", "fails")
