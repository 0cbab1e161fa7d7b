"""Test adding measures to an existing record of the same settings."""

import pytest

from gentool.common.errors import GentoolError
from gentool.records.extending import check_same_settings, extended, missing_measures

COMMAND = {"name": "measure", "only": ["l2"], "epsilon": 0.05}


def record(only, **values):
    return {
        "checkpoint": {"sha256": "a"},
        "command": COMMAND | {"only": only},
        "measures": values,
        "log10": dict(values),
        "layers": [{"name": "fc", "spectral": None, "frobenius": 1.0}],
        "margin": None,
        "evaluation": None,
        "notes": [f"{name}: a note" for name in values],
        "seconds": 1.0,
    }


def test_measures_are_put_together_in_order_and_what_is_there_is_kept():
    addition = record(["spectral", "l2"], spectral=2.0, l2=9.0)
    addition |= {"margin": {"gamma": 1.0}, "layers": [{"name": "fc", "spectral": 3.0}]}
    together = extended(record(["l2"], l2=1.0), addition, ["spectral", "l2"])
    assert list(together["measures"].items()) == [("spectral", 2.0), ("l2", 1.0)]
    assert together["log10"] == together["measures"]
    assert together["command"]["only"] == ["l2", "spectral"]
    assert together["margin"] == {"gamma": 1.0}
    assert together["layers"] == [{"name": "fc", "spectral": 3.0, "frobenius": 1.0}]
    assert together["notes"] == ["l2: a note", "spectral: a note"]
    assert together["seconds"] == 2.0


def test_a_record_of_all_measures_stays_one_of_all():
    together = extended(record(None, l2=1.0), record(["spectral"], spectral=2.0), [])
    assert together["command"]["only"] is None
    assert missing_measures(together, ["l2", "margin"]) == ("margin",)


@pytest.mark.parametrize(
    ("sha256", "command", "words"),
    [
        ("b", COMMAND, "of another checkpoint; replace it with --force"),
        ("a", COMMAND | {"epsilon": 0.1}, "made with epsilon 0.05, not 0.1; replace it"),
        ("a", COMMAND | {"labels": "random"}, "made with labels None, not 'random'"),
    ],
)
def test_another_checkpoint_or_setting_is_refused_by_name(sha256, command, words):
    check_same_settings(record(["l2"]), "a", COMMAND | {"only": ["margin"]}, "x.json")
    with pytest.raises(GentoolError, match=words):
        check_same_settings(record(["l2"]), sha256, command, "x.json")
