"""Test `gentool sharpness` from the shell: records, exit codes, Ctrl-C, and a figure."""

import json
import re
import signal
import subprocess
import sys
import time
from importlib import resources
from types import SimpleNamespace

import pytest
import torch
from helpers.small_sets import CPU, ROUNDING, in_float64
from jsonschema import Draft202012Validator
from safetensors.torch import load_file

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.cli.sharpness_tables import show_worst_cases
from gentool.data.examples import training_set
from gentool.data.sources import load_dataset
from gentool.records import measure_file
from gentool.records.recipe import Outcome, Recipe
from gentool.sharpness import flatness, prepared
from gentool.sharpness.definitions import definitions
from gentool.training.evaluation import evaluate

FAST = ["--quiet", "--batching", "vmap"]


def one_line(text):
    return text.count("\n") == 1 and text.startswith("gentool: ")


def sharpness(path, *options):
    """Run the command on a checkpoint and read the record."""
    assert run(["sharpness", str(path), *FAST, "--force", *map(str, options)]) == 0
    return measure_file.read(path.with_suffix(".sharpness.json"))


@pytest.fixture(scope="module")
def with_batch_norm(tmp_path_factory):
    """A checkpoint of an MLP with batch norm and dropout that fits 100 digits."""
    path = tmp_path_factory.mktemp("bn") / "bn.safetensors"
    options = "--model mlp --hidden 16 --data digits --subset 100 --lr 0.1 --batch-norm --quiet"
    assert run(["train", *options.split(), "--dropout", "0.2", "-o", str(path)]) == 0
    return path


@pytest.mark.parametrize("options", [[], ["--alpha", "0.001", "--alpha", "0"], ["--compare"]])
def test_the_record_fits_the_schema(saved, options):
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    Draft202012Validator(schema).validate(sharpness(saved, *options))


def loss_in_float64(path):
    """The training loss of a checkpoint on digits."""
    read = checkpoint.read(path)
    _, sets = training_set(read.recipe, load_dataset("digits", None, False), CPU)
    with in_float64():
        return evaluate(read.model().double(), sets.subset)[0]


def test_the_record_holds_rises_losses_starts_and_costs(saved, monkeypatch):
    """A network of more parameters is searched in float32: its starts have rounded rises."""
    monkeypatch.setattr(prepared, "FEW_PARAMETERS", 2000)
    record = sharpness(saved, "--alpha", 0.005, "--alpha", 5e-4)
    results = record["sharpness"]
    first, second = results["points"]
    assert record["measures"]["sharpness"] == first["rise"] > second["rise"] > 0
    assert first["loss"] == pytest.approx(results["loss"] + first["rise"], rel=1e-12)
    assert record["measures"]["sharpness_keskar"] == first["rise"] / (1 + results["loss"])
    assert results["loss"] == pytest.approx(loss_in_float64(saved), rel=ROUNDING)
    assert record["outcome"]["train_loss"] == checkpoint.read(saved).outcome.train_loss
    assert results["images"] == 100
    whole = [start["rise"] for start in first["starts"] if start["images"] == 100]
    assert 0.9 * first["rise"] < max(whole) <= first["rise"] * (1 + ROUNDING)
    names = [start["name"] for start in first["starts"]]
    assert len(set(names)) == len(names)
    assert {"class 3", "gradient", "random 1, all images", "bred"} <= set(names)
    cost = first["forward_evaluations"] + 3 * first["gradient_evaluations"]
    assert first["units"] == pytest.approx(cost / 100, abs=1e-3)


def test_the_table_fits_80_columns_without_folded_numbers(capsys, monkeypatch):
    """A folded number would be read as two."""
    monkeypatch.setenv("COLUMNS", "80")
    numbers = {"alpha": 0.0005, "rise": 0.000365583, "first_order": 0.000181626, "exact": None}
    numbers |= {"interval_bound": 0.000469282, "error": 0.0, "units": 2809.0, "compared": []}
    point = numbers | {"class": 2, "class_fraction": 0.17}
    record = {"checkpoint": {"file": "a"}, "measures": {}, "notes": []}
    record["sharpness"] = {"loss": 0.00990123, "error": 0.0, "points": [point]}
    show_worst_cases([record])
    table = capsys.readouterr().err
    for text in ("0.0005", "0.000365583", "0.000181626", "0.000469282", "2 (17%)", "2809"):
        assert text in table
    assert max(map(len, table.splitlines())) <= 80


def test_the_record_is_merged_with_measures_and_plotted(saved, tmp_path):
    assert run(["measure", str(saved), "--quiet"]) == 0
    sharpness(saved)
    files = [str(saved.with_suffix(f".{kind}.json")) for kind in ("measures", "sharpness")]
    figure = tmp_path / "figure.svg"
    arguments = ["--x", "recipe.subset", "--y", "l2", "--y", "sharpness", "-o", str(figure)]
    assert run(["plot", *files, *arguments]) == 0
    assert figure.exists()


def test_the_same_seed_gives_the_same_record(saved):
    first, second = (sharpness(saved, "--seed", 3) for _ in range(2))
    for record in (first, second):
        del record["seconds"]
        for point in record["sharpness"]["points"]:
            del point["seconds"], point["images_per_second"]
    assert first == second


def test_dropout_is_switched_off(with_batch_norm, tmp_path):
    """The same weights under a recipe without dropout have the same sharpness, to the bit."""
    read = checkpoint.read(with_batch_norm)
    assert read.recipe.dropout == 0.2
    plain = tmp_path / "plain.safetensors"
    recipe = Recipe.from_json(read.recipe.to_json() | {"dropout": 0.0})
    checkpoint.write(plain, read.model(), recipe, read.outcome)
    with_dropout = sharpness(with_batch_norm)["sharpness"]["points"][0]
    assert sharpness(plain)["sharpness"]["points"][0]["rise"] == with_dropout["rise"] > 0


def test_without_folding_the_box_is_another_but_the_loss_is_the_same(with_batch_norm):
    """The raw box contains the scales of batch norm and gives another rise."""
    folded = sharpness(with_batch_norm)["sharpness"]
    raw = sharpness(with_batch_norm, "--no-fold-batch-norm")["sharpness"]
    assert raw["loss"] == pytest.approx(folded["loss"], rel=1e-9)
    assert raw["parameters"] == folded["parameters"] + 2 * 16
    assert (folded["folded"], raw["folded"]) == (True, False)
    assert abs(raw["points"][0]["rise"] / folded["points"][0]["rise"] - 1) > 0.05


def test_running_statistics_are_not_perturbed(with_batch_norm):
    """The raw parameters are weights, biases, scales and shifts; running statistics are buffers."""
    tensors = load_file(with_batch_norm)
    parameters = sum(t.numel() for n, t in tensors.items() if "running" not in n)
    tracked = sum("num_batches" in name for name in tensors)
    raw = sharpness(with_batch_norm, "--no-fold-batch-norm")["sharpness"]
    assert raw["parameters"] == parameters - tracked


def test_a_network_with_nan_has_no_sharpness(saved):
    """The record is written without a search: sharpness is null, with the reason."""
    read = checkpoint.read(saved)
    read.tensors["hidden1.weight"][0, 0] = torch.nan
    checkpoint.write(saved, read.model(), read.recipe, read.outcome)
    record = sharpness(saved)
    assert set(record["measures"].values()) == {None}
    assert "the training loss is nan" in record["notes"][0]


def test_a_network_that_does_not_fit_has_a_sharpness_too(saved):
    """Sharpness does not need zero training error."""
    read = checkpoint.read(saved)
    assert isinstance(read.outcome, Outcome)
    read.tensors["output.weight"].neg_()
    checkpoint.write(saved, read.model(), read.recipe, read.outcome)
    record = sharpness(saved)
    assert record["sharpness"]["error"] > 0.5
    assert record["measures"]["sharpness"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--alpha", "-0.1"], "--alpha is -0.1"),
        (["--alpha", "nan"], "--alpha is nan"),
        (["--alpha", "inf"], "--alpha is inf"),
        (["--restarts", "0"], "--restarts"),
        (["--method", "vertx"], "'--method': 'vertx' is not one of 'default', 'vertex'"),
        (["--batching", "both"], "'--batching': 'both' is not one of 'auto', 'loop'"),
        (["--method", "vertx"], "(did you mean 'vertex'?)"),
        (["--budget", "-1"], "--budget"),
    ],
)
def test_wrong_usage_exits_with_2_and_writes_nothing(saved, capsys, options, words):
    assert run(["sharpness", str(saved), *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert one_line(captured.err)
    assert captured.out == ""
    assert list(saved.parent.iterdir()) == [saved]


def test_an_existing_output_is_kept_without_force(saved, capsys):
    path = saved.with_suffix(".sharpness.json")
    path.write_text("mine")
    assert run(["sharpness", str(saved), *FAST]) == 1
    assert one_line(capsys.readouterr().err)
    assert run(["sharpness", str(saved), *FAST, "--skip-existing"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text() == "mine"


def test_output_dash_prints_json_on_stdout(saved, capsys):
    assert run(["sharpness", str(saved), *FAST, "-o", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["measures"]["sharpness"] > 0
    assert captured.err == ""
    assert list(saved.parent.iterdir()) == [saved]


def test_a_search_stops_at_its_time_limit(saved):
    """A search of minutes ends after half a second, and its record tells so."""
    began = time.monotonic()
    record = sharpness(saved, "--restarts", 5000, "--budget", 0.5)
    assert time.monotonic() - began < 20
    assert record["sharpness"]["points"][0]["stopped"] == "time"
    assert "stopped early" in record["notes"][0]


def test_ctrl_c_writes_the_best_so_far_and_exits_130(saved, capsys, monkeypatch):
    """Stopped in the middle of the screening: the record is whole, marked, and its rise correct."""
    from gentool.sharpness.search.state import SearchState

    calls = iter(range(10**9))

    def interrupt(self):
        if next(calls) == 60:
            raise KeyboardInterrupt

    monkeypatch.setattr(SearchState, "watch", interrupt)
    assert run(["sharpness", str(saved), "--batching", "vmap", "--alpha", "0.01"]) == 130
    captured = capsys.readouterr()
    path = saved.with_suffix(".sharpness.json")
    assert captured.out == f"{path}\n"
    assert "interrupted; the best result so far is written" in captured.err.splitlines()[-1]
    record = measure_file.read(path)
    [point] = record["sharpness"]["points"]
    assert point["stopped"] == "interrupted"
    assert 0 < point["rise"] == record["measures"]["sharpness"]
    assert "stopped early" in record["notes"][0]


@pytest.mark.slow
def test_a_signal_to_the_process_is_handled_like_ctrl_c(saved):
    """A signal to a process in the middle of a search of minutes."""
    command = [sys.executable, "-m", "gentool", "sharpness", str(saved), "--restarts", "100000"]
    process = subprocess.Popen(
        [*command, "--batching", "vmap", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(10)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert stdout == f"{saved.with_suffix('.sharpness.json')}\n"
    assert "Traceback" not in stderr
    record = measure_file.read(saved.with_suffix(".sharpness.json"))
    assert record["sharpness"]["points"][0]["stopped"] == "interrupted"


def test_compare_records_every_search_at_one_cost(saved):
    """No other search costs more than the default one or finds a larger rise."""
    from gentool.sharpness.search.baselines import METHODS

    [point] = sharpness(saved, "--compare", "--alpha", 0.01)["sharpness"]["points"]
    others = [name for name in METHODS.names if name != "default"]
    assert [search["method"] for search in point["compared"]] == others
    assert all(search["units"] <= point["units"] for search in point["compared"])
    assert all(0 <= search["rise"] <= point["rise"] for search in point["compared"])


def test_a_bad_checkpoint_is_reported_and_the_others_are_searched(saved, capsys):
    bad = saved.with_name("bad.safetensors")
    bad.write_bytes(b"no checkpoint")
    assert run(["sharpness", str(bad), str(saved), *FAST]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{saved.with_suffix('.sharpness.json')}\n"
    assert "bad.safetensors is no whole safetensors file" in captured.err


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_do_not_import_torch(option):
    code = (
        f"import sys; from gentool.cli.main import run; run(['sharpness', '{option}']); "
        "sys.exit(bool({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_list_names_each_measure_with_formula_and_source(capsys):
    assert run(["sharpness", "--list"]) == 0
    listed = capsys.readouterr().out
    for measure in definitions():
        lines = [measure.name, measure.formula, measure.summary, measure.source]
        assert "\n    ".join(lines) in listed


def test_every_measure_is_defined_once_with_the_constants_of_the_code():
    """A name in capitals in braces would be a constant that was not filled in."""
    measures = definitions()
    by_name = {measure.name: measure for measure in measures}
    assert len(by_name) == len(measures) == 64
    tolerance = by_name["hessian_top_eigenvalue"].formula.partition("to a relative ")[2]
    assert float(tolerance) == flatness.TOLERANCE
    assert f"of {flatness.PRODUCTS} products" in by_name["hessian_trace"].formula
    assert not [m for m in measures if re.search(r"\{[A-Z_]+\}", str(m))]


def test_the_help_names_the_default_number_of_starts(capsys):
    """The formula in the help gives the number that the search uses."""
    from gentool.sharpness.search.starts import default_restarts

    assert run(["sharpness", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    pattern = r"(\d+) min\(classes, (\d+)\) \+ (\d+)"
    [each, most, others] = map(int, re.search(pattern, text).groups())
    for classes in (2, 10, 1000):
        objective = SimpleNamespace(network=SimpleNamespace(classes=classes))
        assert default_restarts(objective) == each * min(classes, most) + others
