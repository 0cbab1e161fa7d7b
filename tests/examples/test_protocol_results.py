"""examples/results/protocol: its tables and the numbers in its text are those of its files."""

import importlib.util
import json
import re
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[2] / "examples" / "results" / "protocol"
PAGE = (FOLDER / "README.md").read_text("utf-8")
PROSE = " ".join(PAGE.split())


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_protocol", FOLDER / "make.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def networks(make):
    """Recipe, outcome and log10 of each network, by training, labels and stop."""
    found = {}
    for network in make.networks():
        recipe = network["recipe"]
        found[*make.training_of(network), recipe["labels"], recipe["stop_loss"]] = network
    return found


def test_the_tables_are_made_from_the_files(make):
    block = re.compile(r"(<!-- made: \w+ -->\n).*?(<!-- end -->)", re.DOTALL)
    emptied, count = block.subn(r"\1\2", PAGE)
    assert count == len(make.TABLES)
    assert make.results.page(emptied, make.TABLES) == PAGE


def test_the_figures_are_there(make):
    for name in make.FIGURES:
        assert f"({name})" in PAGE
        assert (FOLDER / name).stat().st_size > 50_000


def test_files_fit_the_schema_and_hold_no_path_of_the_machine_that_made_them():
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    fits = Draft202012Validator(schema).validate
    for path in FOLDER.glob("*/*.json"):
        fits(json.loads(path.read_text("utf-8")))
    for path in (*FOLDER.glob("*/*.json"), FOLDER / "outcomes.jsonl"):
        assert not re.search(r'"/|folder:/', path.read_text("utf-8")), path.name


def test_l2_and_l1_path_are_larger_with_random_labels_in_three_of_twelve_cases(make, networks):
    larger = dict.fromkeys(make.NORMS, 0)
    for place in make.PLACES:
        for size in (5000, 10000):
            true, random = (
                networks[place, 0.0, size, 0, labels, 1e-4]["log10"]
                for labels in ("true", "random")
            )
            for norm in make.NORMS:
                larger[norm] += random[norm] > true[norm]
    assert larger["l2"] + larger["l1_path_maxpool"] == 3
    assert larger["l2_path_maxpool"] == 6
    assert "larger in 3 of 12 cases at the last stop" in PROSE


def test_every_norm_falls_while_the_loss_falls(make, networks):
    falls = []
    for place in make.PLACES:
        for size in (5000, 10000):
            for labels in ("true", "random"):
                for norm in make.NORMS:
                    values = [
                        networks[place, 0.0, size, 0, labels, stop]["log10"][norm]
                        for stop in (0.1, 0.01, 0.001, 1e-4)
                    ]
                    assert values == sorted(values, reverse=True)
                    falls.append(values[0] - values[-1])
    assert f"by {min(falls):.1f} to {max(falls):.1f} decades from 0.1 to 0.0001" in PROSE


def test_the_choice_follows_the_rule(make, networks):
    """Of recipes and stops that fit random labels, the test error nearest to 0.187."""
    errors = {}
    for place in make.PLACES:
        for stop in (0.01, 0.001, 1e-4):
            fits = all(
                networks[place, 0.0, size, 0, "random", stop]["outcome"]["train_error"] == 0
                for size in (5000, 10000)
            )
            if fits:
                true = networks[place, 0.0, 10000, 0, "true", stop]
                errors[place, stop] = true["outcome"]["test_error"]
    first, second, third, *_ = sorted(errors, key=lambda key: abs(errors[key] - 0.187))
    assert [first, second, third] == [("conv", 1e-4), ("conv", 0.001), ("all", 1e-4)]
    assert errors[second] - errors[first] > 0.005  # else the rule would ask for another
    assert f"`conv` at 0.0001: {errors[first]:.3f}" in PROSE
    assert (
        f"`conv` at 0.001 ({errors[second]:.3f}) and `all` at 0.0001 ({errors[third]:.3f})" in PROSE
    )
    assert f"`hidden` has {errors['hidden', 1e-4]:.3f}" in PROSE


def test_sharpness_crosses_between_5000_and_20000_images():
    found = {}
    for path in (FOLDER / "figures").glob("*.sharpness.json"):
        record = json.loads(path.read_text("utf-8"))
        recipe = record["recipe"]
        found[recipe["subset"], recipe["labels"]] = record["measures"]["sharpness"]
    few, many = (
        "({random:.0f} against {true:.0f})".format(
            **{labels: found[size, labels] for labels in ("true", "random")}
        )
        for size in (5000, 20000)
    )
    assert f"lower with random labels {few}, with 20,000 it is higher {many}" in PROSE
    assert found[5000, "random"] < found[5000, "true"]
    assert found[20000, "random"] > found[20000, "true"]


def test_the_errors_in_the_text_are_those_of_the_networks(make, networks):
    def error(key):
        return f"{networks[key]['outcome']['test_error']:.3f}"

    plain, dropout = (("hidden", rate, 5000, 0, "true", 1e-4) for rate in (0.0, 0.5))
    assert f"from {error(plain)} to {error(dropout)} with 5,000 true labels" in PROSE
    assert f"took {networks[dropout]['outcome']['epochs']} epochs" in PROSE
    lines = (FOLDER / "outcomes.jsonl").read_text("utf-8").splitlines()
    figures = [line for line in map(json.loads, lines) if line["folder"] == "figures"]
    by_size = {
        (line["recipe"]["subset"], line["recipe"]["confusion"]): line["outcome"]["test_error"]
        for line in figures
    }
    large = [f"{by_size[size, 0]:.3f}" for size in (30000, 40000, 50000)]
    assert "test errors of {}, {} and {}".format(*large) in PROSE
    confused = [f"{by_size[10000, size]:.3f}" for size in (1000, 2000, 3000, 4000)]
    assert "test errors of {}, {}, {} and {}".format(*confused) in PROSE
