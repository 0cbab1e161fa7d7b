"""Files of many kinds: asked about with an option that is enough, and then read exactly.

The networks in `fitted` were fitted to digits elsewhere; their margins were computed without
gentool. The others are made here by modules, as other programs define them.
"""

import json
from pathlib import Path

import pytest
import torch
from helpers import public_cases

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.cli.main import run
from gentool.common.errors import UsageError

FITTED = Path(__file__).parent / "fitted"
CODE = public_cases.__file__

# file, the options that say what it is, γ over the 1,442 training images of digits
MARGINS = [
    ("act_relu", [], 2.5670),
    ("act_leaky02", ["--module", f"{CODE}:leaky"], 2.493),
    ("act_gelu", ["--activation", "gelu"], 2.858),
    ("act_sigmoid", ["--activation", "sigmoid"], 0.673),
    ("act_bn_eps1e3", ["--module", f"{CODE}:batch_norm_eps"], 3.8618),
    ("bn_after_relu_named", ["--batch-norm", "after"], 2.9975),
    ("bn_after_relu_named", ["--module", f"{CODE}:NormAfterReLU(64, 10)"], 2.9975),
    ("trained_with_half_half", ["--mean", "0.5", "--std", "0.5"], 2.98167),
    ("trained_without_normalize", ["--mean", "0", "--std", "1"], 2.0249),
]


def measured(name, *options, capsys):
    path = str(FITTED / f"{name}.pt")
    assert run(["measure", path, "--only", "margin", "--data", "digits", "-o", "-", *options]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.parametrize(("name", "options", "gamma"), MARGINS)
def test_margins_are_those_that_were_computed_without_gentool(name, options, gamma, capsys):
    record, _ = measured(name, *options, capsys=capsys)
    assert record["measures"]["margin"] == pytest.approx(gamma, abs=6e-4)
    assert record["evaluation"]["train_error"] < 0.03


@pytest.mark.parametrize("name", ["act_leaky02", "act_gelu", "act_sigmoid", "act_bn_eps1e3"])
def test_what_is_assumed_without_an_answer_is_said_and_recorded(name, capsys):
    """A state dict holds no activation and no eps; the numbers are of the network as read."""
    record, words = measured(name, capsys=capsys)
    assumed = "eps 1e-5 of batch norm" if "eps" in name else "ReLU as the activation"
    assert assumed in words
    assert assumed in " ".join(record["notes"])


def test_labels_that_were_not_those_of_training_are_warned_of(capsys):
    """A network that fitted random labels: 0.90 errors with true ones, none with its own."""
    path = str(FITTED / "random_digits.pth")
    assert run(["measure", path, "--only", "margin", "--data", "digits", "-o", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["evaluation"]["train_error"] == pytest.approx(0.9, abs=0.02)
    assert "true labels are assumed" in captured.err
    data = f"npz:{FITTED / 'random_digits.npz'}"
    assert run(["sharpness", path, "--data", data, "--restarts", "2", "-o", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["evaluation"]["train_error"] == 0
    assert record["measures"]["sharpness"] == pytest.approx(0.0058, rel=0.05)


# module, shape of its images, what is asked, and the options that answer; None: read without
CASES = {
    "Slimming": ((3, 32, 32), "--pool", {"pool": "max,max,max,max,avg"}),
    "AveragedVGG": (
        (3, 32, 32),
        "--pool",
        {"pool": "2:max2,4:max2,6:max2,8:avg4", "input_shape": "3x32x32", "activation": "relu"},
    ),
    "strided": ((3, 32, 32), "--pool", {"pool": "none", "stride": "1,1,2,1,1"}),
    "dropout_in_gap": ((1, 28, 28), "--pool", {"pool": "2:max4"}),
    "unpadded": ((1, 28, 28), "--pool", {"pool": "1:max2,2:max2", "padding": "0"}),
    "TinyVGG": ((1, 28, 28), "--pool", {"pool": "2:max2,4:max2", "activation": "relu"}),
    "KerasCNN": (
        (3, 32, 32),
        "--pool",
        {"pool": "2:max2,4:max2", "padding": "1,0,1,0", "activation": "relu"},
    ),
    "LeNet": ((1, 28, 28), "--pool", {"pool": "1:max2,2:max2", "padding": "0"}),
    "MnistExample": ((1, 28, 28), "--pool", {"pool": "2:max2", "padding": "0"}),
    "four_poolings": ((1, 28, 28), "--pool", {"pool": "max,max,max,max"}),
    "OneLinearVGG": ((3, 32, 32), "--pool", {"pool": "max"}),
    "NormAfterReLU": ((1, 1, 20), "--batch-norm", {"batch_norm": "after"}),
    "Bottleneck": ((1, 1, 20), "--activation", {"activation": "relu,none"}),
    "TwoNetworks": ((1, 1, 4), "--leave-out", {"leave_out": "target"}),
    "heads": ((1, 1, 20), "--leave-out", {"leave_out": "fc_b"}),
    "unused": ((1, 1, 20), "--leave-out", {"leave_out": "h2"}),
    "out_of_order": ((1, 1, 20), "--order", {"order": "inp,first,second,out"}),
    "tanh": ((1, 1, 20), None, {"activation": "tanh"}),
    "normalised_vgg": ((3, 32, 32), "--pool", {"pool": "max"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_asked_about_and_read_exactly_with_the_answer_or_its_module(tmp_path, name):
    """Logits equal to 1e-5 by the answer and by `--module`."""
    shape, option, answer = CASES[name]
    module = trained_like(getattr(public_cases, name)())
    path = tmp_path / "net.pth"
    torch.save(module.state_dict(), path)
    if option is not None:
        with pytest.raises(UsageError, match=option):
            checkpoint.read(path)
    size = "x".join(map(str, shape))
    if (shape[0] == 1 and shape[1] > 1) or "stride" in answer or "padding" in answer:
        answer = answer | {"input_shape": size}
    for hints in (answer, {"module": f"{CODE}:{name}", "input_shape": size}):
        read = checkpoint.read(path, Hints.parse(**hints))
        images = torch.rand(4, *shape)
        assert largest_difference(read, module, images) < 1e-5, hints


def trained_like(module):
    """Return a module in evaluation mode with batch norm's statistics of some batches."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_var, 0.5, 2)
            torch.nn.init.normal_(part.running_mean)
            torch.nn.init.uniform_(part.weight, 0.5, 2)
    return module.eval()


def largest_difference(read, module, images):
    """Return the largest difference of logits, without what a log-softmax takes off all of them."""
    normalised = images
    if "mean" in read.recipe.origin:
        mean, std = (torch.tensor(read.recipe.origin[part]) for part in ("mean", "std"))
        normalised = (images - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
    with torch.inference_mode():
        difference = read.model()(normalised) - module(images)
        difference = difference - difference.mean(dim=1, keepdim=True)
    return float(difference.abs().max())
