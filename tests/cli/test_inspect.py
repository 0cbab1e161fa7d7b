"""Test `gentool inspect`: layers, recipe, outcome and digest, as tables and as JSON."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import torch
from helpers.foreign_networks import TimmVGG

from gentool.checkpoints import checkpoint
from gentool.cli.main import run


def inspected(path, capsys, *options):
    """The JSON that -o - prints."""
    assert run(["inspect", str(path), "-o", "-", "--quiet", *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_an_own_checkpoint_is_shown_with_layers_recipe_and_outcome(saved, capsys):
    """An MLP of 64 inputs, 16 hidden units, 10 outputs: 16 * 65 and 10 * 17 parameters."""
    content = inspected(saved, capsys)
    layers = {layer["name"]: layer for layer in content["layers"]}
    assert list(layers) == ["flatten", "hidden1", "relu1", "output"]
    assert layers["hidden1"]["shape"] == [16, 64]
    assert [layer["units"] for layer in layers.values()] == [64, 16, 16, 10]
    assert [layer["parameters"] for layer in layers.values()] == [0, 1040, 0, 170]
    assert content["parameters"] == 1210
    assert content["kind"] == "gentool"
    assert content["recipe"]["labels"] == "random"
    assert content["outcome"]["train_error"] == 0
    assert content["checkpoint"]["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert content["dtypes"] == ["float32"]
    assert content["versions"]["torch"] == torch.__version__


def test_a_foreign_checkpoint_is_shown_with_the_inferred_layers(tmp_path, capsys):
    """The units of a convolution are its channels times the positions of its feature map."""
    torch.save(TimmVGG().state_dict(), tmp_path / "net.pt")
    content = inspected(tmp_path / "net.pt", capsys, "--input-shape", "3x64x48")
    layers = {layer["name"]: layer for layer in content["layers"]}
    assert layers["features.0"]["type"] == "conv2d"
    assert layers["features.0"]["output_shape"] == [4, 64, 48]
    assert layers["features.0"]["units"] == 4 * 64 * 48
    assert layers["features.1"] | {"options": ""} == {
        "name": "features.1",
        "type": "batch_norm2d",
        "options": "",
        "shape": [4],
        "output_shape": [4, 64, 48],
        "units": 4 * 64 * 48,
        "parameters": 8,
    }
    assert layers["pre_logits.fc1"]["shape"] == [40, 32, 7, 7]
    assert content["kind"] == "pytorch"
    assert content["outcome"] is None
    assert content["recipe"]["origin"]["said"] == {"input_shape": [3, 64, 48]}


def test_tables_are_on_stderr_and_stdout_is_empty(saved, capsys):
    assert run(["inspect", str(saved)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    for word in ("hidden1", "16x64", "1,040", "1,210", "train_error", "sha256", "digits"):
        assert word in captured.err
    assert list(saved.parent.iterdir()) == [saved]


def test_brackets_in_names_are_printed_as_they_are(tmp_path, capsys):
    torch.save({"[/b].weight": torch.ones(3, 4)}, tmp_path / "[red]net[-].pt")
    assert run(["inspect", str(tmp_path / "[red]net[-].pt")]) == 0
    error = capsys.readouterr().err
    assert "[/b]" in error
    assert "[red]net[-].pt" in error


def test_several_checkpoints_are_written_to_a_folder_or_as_lines(saved, tmp_path, capsys):
    torch.save({"a.weight": torch.ones(3, 4)}, tmp_path / "net.pt")
    paths = [str(saved), str(tmp_path / "net.pt")]
    assert run(["inspect", *paths, "-o", "-", "-q"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 2
    (tmp_path / "out").mkdir()
    assert run(["inspect", *paths, "-o", str(tmp_path / "out"), "-q"]) == 0
    for path in map(Path, capsys.readouterr().out.splitlines()):
        assert json.loads(path.read_text())["command"] == {"name": "inspect"}


def test_a_bad_checkpoint_does_not_stop_the_others(saved, tmp_path, capsys):
    (tmp_path / "bad.pt").write_bytes(b"PK")
    assert run(["inspect", str(tmp_path / "bad.pt"), str(saved), "-o", "-", "-q"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "1 of 2 checkpoints failed; the others are done" in captured.err


def test_help_does_not_import_torch():
    for command in ("inspect", "convert", "measure"):
        code = f"""if 1:
            import sys
            from gentool.cli.main import run
            assert run([{command!r}, "--help"]) == 0
            assert "torch" not in sys.modules
        """
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Example:" in done.stdout


def test_loss_and_error_are_shown_where_data_is_given(saved, tmp_path, capsys):
    """The same as `measure` computes, of gentool's own networks and of foreign ones."""
    own = inspected(saved, capsys, "--data", "digits")["evaluation"]
    assert own["train_error"] == 0
    tensors = {f"fc.{name}": t for name, t in checkpoint.read(saved).tensors.items()}
    torch.save(tensors, tmp_path / "net.pt")
    options = ["--data", "digits", "--labels", "random", "--first", "90", "--mean", "0.3"]
    options += ["--std", "0.4"]
    assert run(["inspect", str(tmp_path / "net.pt"), *options, "-o", "-"]) == 0
    captured = capsys.readouterr()
    evaluation = json.loads(captured.out)["evaluation"]
    command = ["measure", str(tmp_path / "net.pt"), *options, "--only", "margin", "-q", "-o", "-"]
    assert run(command) == 0
    assert evaluation == json.loads(capsys.readouterr().out)["evaluation"]
    assert (evaluation["images"], evaluation["draw"], evaluation["mean"]) == (90, "first", [0.3])
    assert "net.pt: training loss" in captured.err
    assert inspected(saved, capsys)["evaluation"] is None
    assert run(["inspect", str(tmp_path / "net.pt"), "--subset", "9"]) == 2
    assert "name it with --data" in capsys.readouterr().err
