"""Test the time limit of a search: preparation counts, and what nobody evaluated is null, not 0."""

import json
import math
import time
from dataclasses import replace

import pytest
import torch
from helpers.sharpness_helpers import mlp_case

from gentool.cli.main import run
from gentool.sharpness.autotune import choose_batching
from gentool.sharpness.functional import functional_network
from gentool.sharpness.objective import Objective


def measured(path, *options):
    """Return the record of a search of a checkpoint."""
    assert run(["sharpness", str(path), "--force", "--quiet", *options]) == 0
    return json.loads(path.with_name("mlp.sharpness.json").read_text())


@pytest.mark.parametrize("options", [[], ["--method", "pga"], ["--protocol", "keskar2017"]])
def test_a_search_without_time_is_null(saved, capsys, options):
    """The rise is unknown then: 0 would say that the network is flat."""
    record = measured(saved, "--budget", "0", *options)
    is_of_a_protocol = "--protocol" in options
    names = ["sharpness_keskar2017"] if is_of_a_protocol else ["sharpness", "sharpness_keskar"]
    for name in names:
        assert record["measures"][name] is None
        assert record["log10"][name] is None
    [point] = record["sharpness"]["points"]
    assert (point["rise"], point["keskar"], point["stopped"]) == (None, None, "time")
    assert any("before any point was evaluated" in note for note in record["notes"])
    assert run(["sharpness", str(saved), "--force", "--budget", "0", *options]) == 0
    assert "--budget" in capsys.readouterr().err


def test_a_search_with_a_little_time_and_one_at_alpha_0_have_values(saved):
    """At alpha 0 the box is the network itself, and the rise is 0."""
    assert measured(saved, "--budget", "5")["measures"]["sharpness"] > 0
    assert measured(saved, "--budget", "5", "--alpha", "0")["measures"]["sharpness"] == 0


def test_no_way_to_batch_is_timed_after_the_deadline_or_without_room(monkeypatch):
    """Either would take minutes, or gigabytes, with the largest networks."""
    model, examples = mlp_case()
    network = functional_network(model, (1, 1, 6))
    objective = Objective(network, examples)

    def fail(*_):
        raise AssertionError("timed")

    monkeypatch.setattr("gentool.sharpness.autotune._seconds", fail)
    assert choose_batching(objective, deadline=time.monotonic() - 1).chosen == "loop"
    assert choose_batching(replace(objective, memory=1)).chosen == "loop"
    with pytest.raises(AssertionError, match="timed"):
        choose_batching(objective, deadline=math.inf)


def test_a_network_that_is_there_is_not_copied():
    """A copy in another precision has the same values, and leaves the network as it was."""
    network = functional_network(mlp_case()[0], (1, 1, 6))
    assert network.to(torch.device("cpu")) is network
    single = network.to(torch.device("cpu"), torch.float32)
    assert single.weights.dtype == torch.float32
    assert network.weights.dtype == torch.float64
    assert torch.equal(single.weights, network.weights.float())
