"""Measure records: values, settings, and the source of the initial weights."""

import json

import pytest
import torch
from torch import nn

import gentool
from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.data.sources import DataSets
from gentool.networks.models import build, initial_digest, initialised
from gentool.numerics import matrix_norms


def measured(path, *options):
    """Return the record of a checkpoint, as the command line prints it."""
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(["measure", str(path), "-o", "-", "--quiet", *options]) == 0
    return json.loads(printed.getvalue())


def test_a_module_in_memory_has_the_measures_of_its_checkpoint(trained):
    """With data, Python and the command line give the same numbers."""
    from gentool.checkpoints.training_data import load_training_set

    saved = checkpoint.read(trained)
    _, sets = load_training_set(saved, torch.device("cpu"), DataSets(None), data=None)
    images, labels = sets.subset.batch(slice(None), torch.float64)
    record = gentool.measure(
        saved.model(),
        (1, 8, 8),
        images=images,
        labels=labels,
        initial=initialised(saved.recipe).eval(),
    )
    expected = measured(trained, "--device", "cpu")
    for name in ("measures", "log10", "layers", "margin", "notes"):
        assert record[name] == expected[name]


def test_a_module_in_memory_needs_no_data():
    record = gentool.measure(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2))
    assert record["measures"]["l2"] is None
    assert record["measures"]["l2_unnormalized"] > 0


def test_images_without_labels_are_a_usage_error():
    with pytest.raises(UsageError, match="images and labels go together"):
        gentool.measure(nn.Flatten(), (1, 2, 2), images=torch.zeros(1, 1, 2, 2))


def test_importing_gentool_does_not_import_torch():
    import subprocess
    import sys

    code = "import gentool, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_biases_leaves_biases_out_of_path_norms_and_is_recorded(trained):
    with_biases, without = measured(trained), measured(trained, "--no-biases")
    assert (with_biases["command"]["biases"], without["command"]["biases"]) == (True, False)
    assert with_biases["measures"]["l1_path"] > without["measures"]["l1_path"]
    assert with_biases["measures"]["l2"] == without["measures"]["l2"]


def test_operator_norms_are_computed_only_where_a_measure_needs_them(trained):
    """They are slow: with `--only l2` they are null in the table of layers."""
    assert measured(trained, "--only", "l2")["layers"][0]["spectral_operator"] is None
    [layer, _] = measured(trained, "--only", "spectral_operator")["layers"]
    assert layer["spectral_operator"] == layer["spectral"] == layer["spectral_operator_upper"]


def test_norms_that_no_chosen_measure_needs_are_not_computed(monkeypatch):
    """A spectral norm of a large layer takes longer than all else: null in the table of layers."""
    monkeypatch.delattr(matrix_norms, "spectral")
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    only = ["l1_path_unnormalized", "sum_of_squares"]
    [layer] = gentool.measure(network, (1, 2, 2), only=only)["layers"]
    norms = ("frobenius", "spectral", "frobenius_operator", "spectral_operator")
    assert [name for name in norms if layer[name] is not None] == ["frobenius"]


def test_initial_weights_are_drawn_again_and_checked_by_their_digest(trained):
    """For a network that gentool trained, distances need no second file."""
    saved = checkpoint.read(trained)
    assert saved.recipe.initial_digest == initial_digest(saved.recipe)
    before, after = initialised(saved.recipe).state_dict(), saved.tensors
    names = ["hidden1.weight", "output.weight"]
    squares = sum(float((after[n].double() - before[n].double()).square().sum()) for n in names)
    assert measured(trained)["measures"]["distance_frobenius"] == pytest.approx(squares, rel=1e-12)


def rewritten(saved, **changes):
    """Write the checkpoint again with a changed recipe."""
    from dataclasses import replace

    read = checkpoint.read(saved)
    checkpoint.write(saved, read.model(), replace(read.recipe, **changes), read.outcome)


def test_initial_weights_that_differ_from_the_digest_are_not_used(saved):
    """Null with a note, as if another version of torch drew other numbers from the seed."""
    rewritten(saved, initial_digest="0" * 64)
    record = measured(saved, "--only", "distance_frobenius")
    assert record["measures"]["distance_frobenius"] is None
    assert "the initial weights are not known" in record["notes"][0]


def test_initial_weights_may_come_from_a_file(saved, tmp_path):
    """If the initial weights are the trained weights, the distance is zero."""
    rewritten(saved, initial_digest=None)
    record = measured(saved, "--only", "distance_frobenius", "--initial", str(saved))
    assert record["measures"]["distance_frobenius"] == 0
    assert record["command"]["initial"] == str(saved)


def test_initial_weights_of_another_network_are_refused(saved, tmp_path, capsys):
    from dataclasses import replace

    read = checkpoint.read(saved)
    other = replace(read.recipe, hidden=5)
    path = tmp_path / "other.safetensors"
    checkpoint.write(path, build(other).to_empty(device="cpu"), other, read.outcome)
    options = ["--only", "distance_frobenius", "--initial", str(path), "--no-data"]
    assert run(["measure", str(saved), "-o", "-", "--quiet", *options]) == 1
    assert "has other layers than the network" in capsys.readouterr().err


def test_an_unknown_measure_is_reported_before_data_is_loaded(saved, capsys):
    assert run(["measure", str(saved), "--only", "l3", "--data-dir", "/nowhere"]) == 2
    assert "unknown measure 'l3' (did you mean 'l2'?)" in capsys.readouterr().err


def test_measure_in_python_raises_for_an_unknown_kind_of_layer():
    with pytest.raises(GentoolError, match="'0' is a Mish"):
        gentool.measure(nn.Sequential(nn.Mish()), (1, 2, 2))
