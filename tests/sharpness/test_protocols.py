"""Protocols of the literature run as published and report under their own names."""

import math

import pytest
import torch
from helpers.sharpness_helpers import examples, mlp_case
from helpers.small_sets import ROUNDING
from torch import nn

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness import m_sharpness, prepared
from gentool.sharpness.functional import functional_network
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch

FAST = ["--quiet", "--batching", "vmap", "--force", "--alpha", "0.01"]


def measures(path, *options):
    assert run(["sharpness", str(path), *FAST, *options]) == 0
    return measure_file.read(path.with_suffix(".sharpness.json"))


def test_keskar2017_is_one_run_of_ten_iterations_times_100(saved):
    """It leaves w, where the gradient is near zero, and is not above the default search."""
    record = measures(saved, "--protocol", "keskar2017")
    [point] = record["sharpness"]["points"]
    values = record["measures"]
    assert values["sharpness_keskar2017"] == pytest.approx(100 * point["keskar"])
    assert 10 <= point["gradient_evaluations"] / 100 <= 40
    assert 0 < point["rise"] <= measures(saved)["measures"]["sharpness"]


@pytest.mark.parametrize("protocol", ["keskar2017", "random", "neyshabur2017"])
def test_the_weaker_rise_of_a_protocol_is_not_stored_as_sharpness(saved, protocol):
    """It is a value of its own name, which no figure or claim takes for the result of a search."""
    values = measures(saved, "--protocol", protocol)["measures"]
    assert f"sharpness_{protocol}" in values
    assert not {"sharpness", "sharpness_keskar"} & set(values)


def test_m_sharpness_of_one_batch_is_the_sharpness(saved):
    """With one batch of the whole set (100 images) it is the same search in the same box."""
    record = measures(saved, "--protocol", "m-sharpness")
    values = record["measures"]
    assert record["m_sharpness"]["batches"] == 1
    assert values["sharpness_m"] == values["sharpness"] > 0
    assert values["sharpness"] == measures(saved)["measures"]["sharpness"]


def test_m_sharpness_is_the_mean_of_the_searches_of_its_batches(saved, monkeypatch):
    """Batches of 40, 40 and 20 images, each as if it were the whole training set."""
    monkeypatch.setattr(m_sharpness, "M", 40)
    searched = []
    find = WorstCaseSearch.find

    def noted(self, alpha):
        result = find(self, alpha)
        searched.append((len(self.prepared.examples), result))
        return result

    monkeypatch.setattr(WorstCaseSearch, "find", noted)
    record = measures(saved, "--protocol", "m-sharpness")
    assert [images for images, _ in searched] == [40, 40, 20]
    mean = sum(images * result.rise for images, result in searched) / 100
    assert record["measures"] == {"sharpness_m": pytest.approx(mean, rel=1e-12)}
    assert {result.after.loss - result.before.loss for _, result in searched} == {
        result.rise for _, result in searched
    }
    units = sum(images * result.units for images, result in searched) / 100
    assert record["m_sharpness"]["units"] == pytest.approx(units, abs=1e-3)


def test_m_sharpness_is_not_below_that_of_the_whole_set(saved, monkeypatch):
    """Each batch has a worst point of its own, so that the mean of the maxima is at least the rise.

    In float64, so that rounding does not matter.
    """
    monkeypatch.setattr(prepared, "FEW_PARAMETERS", 2000)
    whole = measures(saved)["measures"]["sharpness"]
    monkeypatch.setattr(m_sharpness, "M", 50)
    values = measures(saved, "--protocol", "m-sharpness")["measures"]
    assert values["sharpness_m"] >= whole * (1 - ROUNDING)


@pytest.mark.parametrize("rho", [1e-3, 0.05, 1.0])
def test_m_sharpness_over_a_ball_has_a_closed_form_for_one_example(rho):
    """Of two classes: the margin falls by ρ ‖∂margin‖ = ρ √(2 (‖x‖² + 1))."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    model[1].weight.data = torch.tensor([[1.0, -2.0], [0.5, 0.25]])
    model[1].bias.data = torch.tensor([0.5, -1.0])
    data = examples(torch.tensor([2.0, -1.0]).reshape(1, 1, 1, 2), torch.tensor([0]))
    before = (1 * 2 + -2 * -1 + 0.5) - (0.5 * 2 + 0.25 * -1 - 1)
    fall = rho * math.sqrt(2 * (5 + 1))
    rise = math.log1p(math.exp(fall - before)) - math.log1p(math.exp(-before))
    search = WorstCaseSearch(functional_network(model, (1, 1, 2)), data, SearchOptions())
    assert m_sharpness.m_sharpness_l2(search, rho).value == pytest.approx(rise, rel=1e-9)


def test_the_search_of_a_ball_is_as_high_as_ascent_along_it_from_w():
    """200 steps of normalised gradient ascent, projected onto the ball, of an MLP."""
    model, data = mlp_case(hidden=40, images=100, classes=5, seed=3)
    network = functional_network(model, (1, 1, 6))
    search = WorstCaseSearch(network, data, SearchOptions(batching="vmap"))
    for rho in (0.3, 2.0):
        objective, _ = search.prepared.objective(torch.float64)
        w, move = objective.network.weights, torch.zeros_like(objective.network.weights)
        best = 0.0
        for _ in range(200):
            loss, gradient = objective.gradients((w + move)[None])
            best = max(best, float(loss) - search.before.loss)
            move = move + 0.1 * rho * gradient[0] / gradient[0].norm()
            move = move * min(1.0, rho / float(move.norm()))
        assert m_sharpness.m_sharpness_l2(search, rho).value >= best * (1 - 1e-4)


def test_the_protocol_of_m_sharpness_over_a_ball_takes_its_radius(saved):
    command = ["sharpness", str(saved), "--quiet", "--force", "--protocol", "m-sharpness-l2"]
    assert run([*command, "--rho", "0.02"]) == 0
    small = measure_file.read(saved.with_suffix(".sharpness.json"))
    assert run(command) == 0
    usual = measure_file.read(saved.with_suffix(".sharpness.json"))
    assert list(usual["measures"]) == ["sharpness_m_l2"]
    assert 0 < small["measures"]["sharpness_m_l2"] < usual["measures"]["sharpness_m_l2"]
    assert usual["command"]["rho"] == 0.05


def test_neyshabur2017_ascends_by_mini_batches_and_stays_in_the_box(saved):
    """2,000 steps of 64 images, and one pass; a rise below that of the default search."""
    record = measures(saved, "--protocol", "neyshabur2017")
    [point] = record["sharpness"]["points"]
    value = record["measures"]["sharpness_neyshabur2017"]
    assert "sharpness" not in record["measures"]
    whole, rest = divmod(2000, 2)  # epochs of 64 and 36 images
    assert point["gradient_evaluations"] == whole * 100 + rest * 64
    assert point["forward_evaluations"] == 100
    assert 0 < value <= measures(saved)["measures"]["sharpness"]


def test_a_network_that_the_worst_point_destroys_is_said_to_be_destroyed(saved, capsys):
    """More than half of the images are wrong there; in a small box they are not."""
    command = ["sharpness", str(saved), "--batching", "vmap", "--force", "--alpha", "0.0005,0.5"]
    assert run(command) == 0
    printed = " ".join(capsys.readouterr().err.split())
    record = measure_file.read(saved.with_suffix(".sharpness.json"))
    points = record["sharpness"]["points"]
    assert [point["destroyed"] for point in points] == [False, True]
    assert points[1]["error"] > 0.5 >= points[0]["error"]
    [note] = [note for note in record["notes"] if "destroyed" in note]
    assert "at alpha 0.5" in note
    assert "the rise measures the scale of the logits" in printed
    assert run([*command[:-1], "0.0005"]) == 0
    assert "destroyed" not in capsys.readouterr().err


def test_the_random_protocol_is_random_corners(saved):
    record = measures(saved, "--protocol", "random", "--units", "30")
    [point] = record["sharpness"]["points"]
    assert point["method"] == "random"
    assert point["forward_evaluations"] == 30 * 100
    assert point["gradient_evaluations"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "keskar"], "(did you mean 'keskar2017'?)"),
        (["--protocol", "random", "--method", "pga"], "leave out --method"),
        (["--protocol", "m-sharpness", "--compare"], "--compare has no meaning"),
        (["--protocol", "m-sharpness", "--alpha", "0.1,0.2"], "takes one --alpha"),
        (["--protocol", "m-sharpness", "--rho", "0.1"], "--rho has no meaning"),
        (["--protocol", "m-sharpness-l2", "--alpha", "0.1"], "--alpha has no meaning"),
        (["--protocol", "m-sharpness-l2", "--rho", "0"], "--rho is 0"),
        (["--rho", "0.1"], "--rho has no meaning without --protocol"),
    ],
)
def test_wrong_options_exit_2(saved, capsys, options, words):
    assert run(["sharpness", str(saved), *options]) == 2
    assert words in capsys.readouterr().err
