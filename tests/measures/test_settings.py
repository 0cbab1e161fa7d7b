"""The settings that change a measure, as records compare them, are those that do change it."""

from dataclasses import asdict, fields, replace

import pytest
import torch
from torch import nn

from gentool.checkpoints.hints import Hints
from gentool.measures import MEASURES
from gentool.measures.measure import MeasureOptions
from gentool.measures.measured import Measured
from gentool.measures.registry import evaluate_measures
from gentool.networks.canonical import canonical
from gentool.records.settings import UNIMPORTANT, settings_of
from gentool.sharpness.expected_record import ExpectedSharpnessOptions
from gentool.sharpness.worst_case_record import SharpnessOptions

COMPARED = {
    *("epsilon", "biases"),
    *("alpha", "fold_batch_norm", "method", "restarts", "steps", "units", "offset", "protocol"),
    *("precision", "delta", "m", "rho", "rel_error"),
}
OPTIONS = [
    MeasureOptions(),
    SharpnessOptions(protocol="m-sharpness-l2"),
    ExpectedSharpnessOptions(),
]


@pytest.fixture(scope="module")
def values():
    """Return the values of all measures of a small CNN, as computed with some settings."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4)]
    network, initial = (
        canonical(nn.Sequential(*layers), (1, 8, 8)),
        canonical(nn.Sequential(nn.Conv2d(1, 3, 3), *layers[1:4], nn.Linear(27, 4)), (1, 8, 8)),
    )
    margins = torch.linspace(0.5, 3, 20, dtype=torch.float64)
    net = Measured(network, margins, initial=lambda: initial)

    def computed(**changed):
        return evaluate_measures(replace(net, **changed), MEASURES).log10

    return computed


@pytest.mark.parametrize(
    ("setting", "other"), [("epsilon", {"epsilon": 0.5}), ("biases", {"biases": False})]
)
def test_a_setting_is_compared_for_the_measures_that_it_changes_and_no_others(
    values, setting, other
):
    """Of a network with biases, and margins that differ."""
    before, after = values(), values(**other)
    changed = {name for name, value in before.items() if after[name] != value}
    record = {"command": asdict(MeasureOptions()) | {"name": "measure"}, "recipe": None}
    record |= {"measures": before, "margin": None}
    compared = {name for name in before if setting in settings_of(record, name)}
    assert compared == changed


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: type(options).__name__)
def test_every_option_of_a_command_is_compared_or_said_to_be_unimportant(options):
    """A new option belongs into one of the two lists in records/settings.py."""
    assert set(options.to_json()) <= COMPARED | UNIMPORTANT
    assert {field.name for field in fields(Hints)} <= UNIMPORTANT
    assert not COMPARED & UNIMPORTANT
