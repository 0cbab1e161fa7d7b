"""Protocols of the literature run as published and report under their own names."""

import pytest
from helpers.small_sets import ROUNDING

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness import prepared

FAST = ["--quiet", "--batching", "vmap", "--force", "--alpha", "0.01"]


def measures(path, *options):
    assert run(["sharpness", str(path), *FAST, *options]) == 0
    return measure_file.read(path.with_suffix(".sharpness.json"))


def test_keskar2017_is_one_run_of_ten_iterations_times_100(saved):
    """It leaves w, where the gradient is near zero, and is not above the default search."""
    record = measures(saved, "--protocol", "keskar2017")
    [point] = record["sharpness"]["points"]
    values = record["measures"]
    assert values["sharpness_keskar2017"] == pytest.approx(100 * values["sharpness_keskar"])
    assert 10 <= point["gradient_evaluations"] / 100 <= 40
    assert 0 < values["sharpness"] <= measures(saved)["measures"]["sharpness"]


def test_m_sharpness_of_one_batch_is_at_most_the_sharpness(saved, monkeypatch):
    """With one batch of the whole set (100 images) m-sharpness is a rise in the same box.

    In float64, so that rounding does not matter.
    """
    monkeypatch.setattr(prepared, "FEW_PARAMETERS", 2000)
    values = measures(saved, "--protocol", "m-sharpness")["measures"]
    assert 0 < values["sharpness_m"] <= values["sharpness"] * (1 + ROUNDING)


def test_the_random_protocol_is_random_corners(saved):
    record = measures(saved, "--protocol", "random", "--units", "30")
    [point] = record["sharpness"]["points"]
    assert point["method"] == "random"
    assert point["forward_evaluations"] == 30 * 100
    assert point["gradient_evaluations"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "keskar"], "unknown protocol 'keskar' (did you mean 'keskar2017'?)"),
        (["--protocol", "random", "--method", "pga"], "leave out --method"),
    ],
)
def test_wrong_options_exit_2(saved, capsys, options, words):
    assert run(["sharpness", str(saved), *options]) == 2
    assert words in capsys.readouterr().err
