"""Losses and errors of networks as read are told, and what may be wrong where they do not fit."""

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from torch.nn.functional import cross_entropy

from gentool.checkpoints import checkpoint
from gentool.checkpoints.evaluation import Tally, does_not_fit
from gentool.checkpoints.training_data import load_training_set
from gentool.cli.main import run
from gentool.data.sources import DataSets
from gentool.records.measure_file import lookup, read

FITTED = ("--data", "digits", "--labels", "random", "--subset", "100")
NO_NORMALISATION = ("--mean", "0", "--std", "1")


@pytest.fixture
def unnormalised(saved, monkeypatch):
    """The trained network as a foreign file that takes pixels in [0, 1] as they are."""
    monkeypatch.chdir(saved.parent)
    own = checkpoint.read(saved)
    (mean,), (std,) = own.recipe.mean, own.recipe.std
    tensors = {f"fc.{name}": tensor.clone() for name, tensor in own.tensors.items()}
    weight = next(name for name in tensors if tensors[name].shape == (16, 64))
    bias = weight.replace("weight", "bias")
    tensors[bias] -= tensors[weight].sum(dim=1) * mean / std
    tensors[weight] /= std
    torch.save(tensors, "foreign.pt")
    return Path("foreign.pt")


def recorded(command, *arguments):
    """The record that a command writes, checked against the schema."""
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    assert run([command, *map(str, arguments), "-o", "record.json", "--force"]) == 0
    record = read(Path("record.json"))
    Draft202012Validator(schema).validate(record)
    return record


def test_an_own_network_has_the_errors_of_its_outcome(saved, monkeypatch, capsys):
    """Computed anew: training error 0, test error as recorded, all facts said by the file."""
    monkeypatch.chdir(saved.parent)
    record = recorded("measure", saved, "--only", "margin")
    evaluation, outcome = record["evaluation"], record["outcome"]
    assert evaluation["train_error"] == outcome["train_error"] == 0
    assert evaluation["train_loss"] == pytest.approx(outcome["train_loss"], rel=1e-4)
    assert evaluation["test_error"] == pytest.approx(outcome["test_error"])
    assert evaluation["images"] == 100
    assert set(evaluation["source"].values()) == {"said"}
    assert evaluation["warnings"] == []
    assert "training loss 0.00" in capsys.readouterr().err


def test_changed_weights_of_an_own_network_are_told(saved, capsys):
    """The outcome says that it fits; with the last layer turned round it errs on every image."""
    own = checkpoint.read(saved)
    tensors = {name: -t if t.shape[0] == 10 else t for name, t in own.tensors.items()}
    checkpoint.write(saved, replace(own, tensors=tensors).model(), own.recipe, own.outcome)
    assert run(["measure", str(saved), "--only", "margin"]) == 0
    error = capsys.readouterr().err
    assert "warning: mlp.safetensors: the training loss computed here is" in error


def test_losses_and_errors_of_a_foreign_network_are_those_of_pytorch(unnormalised):
    """On its subset and on the test set, by its own forward pass on normalised images."""
    evaluation = recorded("measure", unnormalised, *FITTED, "--only", "l2")["evaluation"]
    read_file = checkpoint.read(unnormalised)
    digits = DataSets(Path()).load("digits")
    mean, std = (torch.tensor(evaluation[name]).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    images = (digits.test_images / 255 - mean) / std
    with torch.inference_mode():
        logits = read_file.model()(images)
    expected = cross_entropy(logits, digits.test_labels).item()
    assert evaluation["test_loss"] == pytest.approx(expected, rel=1e-5)
    wrong = (logits.argmax(1) != digits.test_labels).float().mean().item()
    assert evaluation["test_error"] == pytest.approx(wrong)
    said = [name for name, source in evaluation["source"].items() if source == "said"]
    assert said == ["data", "labels", "subset", "draw"]


@pytest.mark.parametrize("command", ["measure", "sharpness"])
def test_the_normalisation_that_lowers_the_error_is_named_and_not_taken(
    unnormalised, capsys, command
):
    """With the options that the warning names the training error is 0."""
    options = ["--only", "margin"] if command == "measure" else ["--method", "random"]
    record = recorded(command, unnormalised, *FITTED, *options)
    assert record["evaluation"]["train_error"] > 0.1
    assert record["evaluation"]["source"]["mean"] == "assumed"
    [warning] = record["evaluation"]["warnings"]
    assert "with --mean 0 --std 1 it is 0.0 %" in warning
    assert capsys.readouterr().err.count("with --mean 0 --std 1") == 1
    record = recorded(command, unnormalised, *FITTED, *NO_NORMALISATION, *options)
    assert record["evaluation"]["train_error"] == 0
    assert record["evaluation"]["warnings"] == []
    assert record["evaluation"]["source"]["mean"] == "said"


def test_true_labels_of_a_network_that_fitted_random_ones_are_told(unnormalised, capsys):
    """No normalisation helps; the assumed labels and subset are named."""
    options = ["--data", "digits", *NO_NORMALISATION, "--only", "margin"]
    record = recorded("measure", unnormalised, *options)
    assert record["evaluation"]["train_error"] > 0.6
    [warning] = record["evaluation"]["warnings"]
    assert "--labels (true labels are assumed), --subset (all images are assumed)" in warning
    assert "normalisations do no better" in warning
    assert "assumed: labels true" in capsys.readouterr().err


def test_a_converted_network_remembers_what_was_assumed(unnormalised):
    options = [*FITTED, *NO_NORMALISATION]
    assert run(["convert", str(unnormalised), *options, "-o", "own.safetensors", "-q"]) == 0
    evaluation = recorded("measure", "own.safetensors", "--only", "margin")["evaluation"]
    assert evaluation["train_error"] == 0
    assumed = [name for name, source in evaluation["source"].items() if source == "assumed"]
    assert assumed == ["seed"]


def test_without_data_there_is_no_evaluation(unnormalised):
    assert recorded("measure", unnormalised)["evaluation"] is None


def test_a_network_without_outcome_is_ranked_by_its_evaluation(unnormalised, tmp_path):
    """Its gap is the test error less the training error that were computed."""
    record = recorded("measure", unnormalised, *FITTED, *NO_NORMALISATION)
    assert record["outcome"] is None
    for part in ("train_error", "test_error"):
        assert lookup(record, f"outcome.{part}") == record["evaluation"][part]
    other = record | {"checkpoint": {"file": "b", "sha256": "b" * 64}}
    other["measures"] = {name: value and 2 * value for name, value in record["measures"].items()}
    other["log10"] = {name: value and value + 0.3 for name, value in record["log10"].items()}
    other["evaluation"] = record["evaluation"] | {"test_error": 1.0}
    (tmp_path / "records").mkdir()
    for name, content in (("a", record), ("b", other)):
        (tmp_path / "records" / f"{name}.json").write_text(json.dumps(content))
    assert run(["claims", "records", "--measure", "l2", "-o", "claims.json", "-q"]) == 0
    [row] = json.loads(Path("claims.json").read_text())["kendall"]
    assert (row["networks"], row["tau"]) == (2, 1)


def test_files_about_one_network_with_other_errors_are_not_merged(unnormalised, capsys):
    """The second has another normalisation."""
    for i, options in enumerate(([], NO_NORMALISATION)):
        files = ["-o", f"{i}.json", "-q", "--only", f"{('margin', 'l2_unnormalized')[i]}"]
        assert run(["measure", str(unnormalised), *FITTED, *options, *files]) == 0
    assert run(["claims", "0.json", "1.json"]) == 1
    assert "disagree on evaluation.train_error" in capsys.readouterr().err


def test_a_network_does_not_fit_above_half_of_the_error_of_guessing():
    """Guessing errs on 0.9 of ten classes, on half of two."""
    assert does_not_fit(0.46, 10)
    assert not does_not_fit(0.44, 10)
    assert does_not_fit(0.26, 2)
    assert not does_not_fit(0.19, 1)


def test_one_output_is_the_logit_of_the_second_class():
    """Binary cross-entropy: log(1 + e^-|f|) where the sign is right; here f is 0 twice."""
    tally = Tally()
    tally.add(torch.zeros(2, 1), torch.tensor([0, 1]))
    assert tally.mean.loss == pytest.approx(0.6931472)
    assert tally.mean.error == 0.5


def test_the_training_set_of_a_recipe_is_drawn_for_a_foreign_network_too(unnormalised, saved):
    """The same seed draws the same images and labels."""
    from gentool.checkpoints.hints import Hints

    own, foreign = checkpoint.read(saved), checkpoint.read(unnormalised)
    device, data = torch.device("cpu"), DataSets(Path())
    _, expected = load_training_set(own, device, data, data=None)
    hints = Hints(labels="random", subset=100)
    _, drawn = load_training_set(foreign, device, data, data="digits", hints=hints)
    assert torch.equal(drawn.subset.labels, expected.subset.labels)


class Wide(torch.nn.Module):
    """Three linear layers, tanh or ReLU, and a skip connection around the second if asked for."""

    def __init__(self, activation, skips):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(64, 32), torch.nn.Linear(32, 32)
        self.fc3 = torch.nn.Linear(32, 10)
        self.activation, self.skips = activation, skips

    def forward(self, images):
        x = self.activation(self.fc1(images.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)) + (x if self.skips else 0))


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """A function that fits such a network to the digits, and saves its state dict."""
    monkeypatch.chdir(tmp_path)

    def fit(activation, skips=False):
        torch.manual_seed(0)
        digits, model = DataSets(Path()).load("digits"), Wide(activation, skips)
        mean, std = (torch.tensor(part).reshape(1, 1, 1, 1) for part in digits.normalisation())
        images = (digits.train_images / 255 - mean) / std
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(60):
            optimizer.zero_grad()
            cross_entropy(model(images), digits.train_labels).backward()
            optimizer.step()
        torch.save(model.state_dict(), "net.pt")

    return fit


@pytest.mark.parametrize(
    ("activation", "skips", "words", "options"),
    [
        (torch.tanh, False, "with --activation tanh it is 0.", ["--activation", "tanh"]),
        (torch.relu, True, "with a skip connection around 'fc2', added after its activation", None),
    ],
)
def test_another_function_than_the_assumed_one_is_named(fitted, activation, skips, words, options):
    """Both are assumed, recorded as such, and noted; what lowers the error is not taken."""
    fitted(activation, skips)
    record = recorded("measure", "net.pt", "--data", "digits", "--only", "margin")
    assert record["evaluation"]["train_error"] > 0.02
    [warning] = record["evaluation"]["warnings"]
    assert words in warning
    assert record["recipe"]["origin"]["assumed"] == ["activation", "no skip connection"]
    [note] = [note for note in record["notes"] if note.startswith("network: assumed")]
    assert "--activation names another" in note
    assert "--module builds" in note
    if options is not None:
        record = recorded("measure", "net.pt", "--data", "digits", "--only", "margin", *options)
        assert record["evaluation"]["train_error"] < 0.01
        assert record["evaluation"]["warnings"] == []
        assert record["recipe"]["origin"]["assumed"] == ["no skip connection"]


def test_what_an_option_says_is_not_assumed(fitted):
    """--model mlp says that it is a chain with ReLU; a note stays in a converted file."""
    fitted(torch.relu)
    record = recorded("measure", "net.pt", "--model", "mlp", "--only", "l2_unnormalized")
    assert record["recipe"]["origin"]["assumed"] == []
    assert record["notes"] == []
    assert run(["convert", "net.pt", "-q", "-o", "own.safetensors", "--data", "digits"]) == 0
    record = recorded("measure", "own.safetensors", "--only", "l2_unnormalized")
    assert record["recipe"]["origin"]["assumed"][:3] == [
        *("activation", "no skip connection", "labels"),
    ]
    assert "assumed, as the file does not tell" in record["notes"][0]
