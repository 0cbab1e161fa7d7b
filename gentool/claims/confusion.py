"""Claims about true labels with a confusion set of randomly labelled images: figure 3."""

from gentool.claims.families import CONFUSION
from gentool.claims.points import seed_means
from gentool.claims.registry import CLAIMS, NORMS
from gentool.claims.trend import does_not_rise, rises
from gentool.claims.verdict import Ruling, Verdict
from gentool.records.measure_file import Record, has_fitted


@CLAIMS.register(
    "4a",
    CONFUSION,
    keys=("outcome.test_error",),
    needs=("outcome.train_error",),
    only_fitted=False,
)
def test_error_rises_with_confusion(networks: list[Record], key: str) -> Verdict:
    """The test error rises with the confusion set while the training error stays zero.

    Holds where the test error rises with the size of the confusion set, none (0) included, and no
    network has a training error, on its subset or its confusion set; fails where one has.

    Figure 3, left.
    """
    verdict = rises(seed_means(networks, key, "confusion"))
    unfitted = sum(not has_fitted(network) for network in networks)
    if not unfitted:
        return verdict
    numbers = f"{unfitted} of {len(networks)} networks have a training error; {verdict.numbers}"
    return Verdict(Ruling.FAILS, numbers, verdict.evidence)


@CLAIMS.register("4b", CONFUSION, keys=NORMS)
def norms_rise_with_confusion(networks: list[Record], key: str) -> Verdict:
    """Every norm measure rises with the confusion set.

    Holds where log10 of the measure rises with the size of the confusion set.

    Figure 3, middle.
    """
    return rises(seed_means(networks, key, "confusion"))


@CLAIMS.register("4c", CONFUSION, keys=("sharpness",))
def sharpness_does_not_rise_with_confusion(networks: list[Record], key: str) -> Verdict:
    """Sharpness does not rise with the confusion set.

    The contrary of rising: fails where sharpness rises with the size of the confusion set, holds
    where at least as many pairs of sizes fall as rise.

    Figure 3, middle.
    """
    return does_not_rise(seed_means(networks, key, "confusion"))


@CLAIMS.register("4d", CONFUSION, keys=("expected_sharpness_kl",))
def kl_rises_with_confusion(networks: list[Record], key: str) -> Verdict:
    """The KL at expected sharpness 0.05 rises with the confusion set.

    Holds where log10 of the KL rises with the size of the confusion set.

    Figure 3, right.
    """
    return rises(seed_means(networks, key, "confusion"))
