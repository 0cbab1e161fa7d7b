"""Sharpness of networks in memory: the numbers of the command, and what is refused."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gentool
from gentool.cli.main import run
from gentool.common.errors import UsageError

SHAPE = (1, 2, 3)
IMAGES = torch.randn(30, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.fixture(scope="module")
def labels(module):
    with torch.no_grad():
        return module(IMAGES).argmax(1)


def command(path, *options):
    """Return the record that `gentool sharpness` prints."""
    printed = io.StringIO()
    arguments = ["sharpness", str(path), "-o", "-", "--quiet", "--device", "cpu", *options]
    with contextlib.redirect_stdout(printed):
        assert run(arguments) == 0
    return json.loads(printed.getvalue())


SHORT = ("--restarts", "2", "--steps", "2", "--batching", "vmap")
QUICK = {"restarts": 2, "steps": 2, "batching": "vmap"}


@pytest.fixture(scope="module")
def by_command(trained):
    return command(trained, *SHORT, "--alpha", "0.002", "--alpha", "0.01", "--seed", "3")


def without_times(record):
    """A record without what differs from one run to the next."""
    points = [
        {k: v for k, v in point.items() if k not in ("seconds", "images_per_second")}
        for point in record["sharpness"]["points"]
    ]
    about = ("measures", "log10", "recipe", "outcome", "evaluation", "checkpoint", "notes")
    return json.loads(json.dumps([[record[key] for key in about], points]))


def test_a_loaded_network_has_the_record_of_the_command(trained, by_command):
    record = gentool.sharpness(
        gentool.load(trained), alpha=(0.002, 0.01), seed=3, device="cpu", **QUICK
    )
    assert without_times(record) == without_times(by_command)


def test_a_module_with_its_images_has_the_value_of_the_command(trained, by_command):
    """From the stored images of uint8 with mean and deviation, to the bit."""
    from gentool.checkpoints.training_data import load_training_set
    from gentool.data.sources import DataSets

    net = gentool.load(trained)
    cpu = torch.device("cpu")
    _, sets = load_training_set(net.checkpoint, cpu, DataSets(None), data=None)
    images, labels = sets.subset.images.numpy(), sets.subset.labels.numpy()
    assert images.dtype == np.uint8
    facts = {"mean": net.recipe.mean, "std": net.recipe.std, "device": "cpu"}
    record = gentool.sharpness(
        net.module, images, labels, alpha=(0.002, 0.01), seed=3, **facts, **QUICK
    )
    assert record["measures"] == by_command["measures"]
    assert record["evaluation"]["train_error"] == by_command["evaluation"]["train_error"]


def test_expected_sharpness_is_that_of_the_command(trained):
    options = ("--alpha", "0.01", "--precision", "0.2", "--seed", "1", "--batching", "vmap")
    expected = command(trained, "--expected", *options)
    record = gentool.expected_sharpness(
        gentool.load(trained), alpha=0.01, rel_error=0.2, seed=1, batching="vmap", device="cpu"
    )
    assert record["measures"] == expected["measures"]


def test_flatness_is_that_of_the_command(trained):
    expected = command(trained, "--flatness", *SHORT, "--budget", "0")["measures"]
    record = gentool.flatness(gentool.load(trained), batching="vmap", device="cpu")
    for name in ("hessian_top_eigenvalue", "hessian_trace", "pac_bayes_sigma"):
        assert record["measures"][name] == expected[name]
    assert record["measures"]["sharpness_magnitude"] > 0


def test_every_form_of_one_training_set_has_its_sharpness(module, labels):
    forms = [
        (IMAGES, labels),
        (IMAGES.numpy(), labels.tolist()),
        (DataLoader(TensorDataset(IMAGES, labels), batch_size=7), None),
        (TensorDataset(IMAGES, labels), None),
        (IMAGES.double(), labels.numpy().astype(np.uint8)),
    ]
    values = {gentool.sharpness(module, *form, **QUICK)["measures"]["sharpness"] for form in forms}
    assert len(values) == 1


def test_the_module_is_not_changed(module, labels):
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.train()
    gentool.sharpness(module, IMAGES, labels, restarts=1, steps=1)
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_records_of_one_module_belong_together_and_those_of_others_do_not(module, labels):
    """All functions name a network by the same digest; other weights or layers have another."""
    measured = gentool.measure(module, images=IMAGES, labels=labels, only="l2")
    digests = {
        record["checkpoint"]["sha256"]
        for record in (
            measured,
            gentool.measure(module, SHAPE, only="l2"),
            gentool.sharpness(module, IMAGES, labels, restarts=1, steps=1),
            gentool.expected_sharpness(module, IMAGES, labels, alpha=0.01, rel_error=1.0),
        )
    }
    assert len(digests) == 1
    other = nn.Sequential(module[0], module[1], nn.Tanh(), module[3])
    assert gentool.measure(other, SHAPE, only="l2")["checkpoint"]["sha256"] not in digests


def test_the_test_set_and_the_facts_are_in_the_record(module, labels):
    wrong = (labels + 1) % 3
    record = gentool.sharpness(
        module,
        IMAGES,
        labels,
        test=(IMAGES[:10], torch.cat([labels[:5], wrong[5:10]])),
        recipe={"labels": "random", "lr": 0.1, "hidden": 5},
        name="mine",
        restarts=1,
        steps=1,
    )
    assert record["evaluation"]["test_error"] == 0.5
    assert record["evaluation"]["train_error"] == 0
    recipe = record["recipe"]
    assert (recipe["labels"], recipe["lr"], recipe["hidden"]) == ("random", 0.1, 5)
    assert (recipe["subset"], recipe["classes"], recipe["seed"]) == (30, 3, None)
    assert record["checkpoint"]["file"] == "mine"


def test_a_record_that_is_saved_is_a_measure_file(module, labels, tmp_path, schema):
    import jsonschema

    from gentool.records.measure_file import read

    for i, record in enumerate(
        [
            gentool.measure(module, SHAPE),
            gentool.measure(module, images=IMAGES, labels=labels),
            gentool.sharpness(module, IMAGES, labels, restarts=1, steps=1),
            gentool.expected_sharpness(module, IMAGES, labels, alpha=0.01, rel_error=1.0),
            gentool.flatness(module, IMAGES, labels),
        ]
    ):
        path = tmp_path / f"{i}.json"
        path.write_text(json.dumps(record))
        assert read(path)["measures"] == record["measures"]
        jsonschema.validate(json.loads(path.read_text()), schema)


@pytest.fixture(scope="module")
def schema():
    from pathlib import Path

    return json.loads(Path(gentool.__file__).with_name("measures.schema.json").read_text("utf-8"))


UINT8 = IMAGES.to(torch.uint8)


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (None, {}, "give images and labels"),
        (UINT8, {}, "images are uint8; give floats.*or mean and std"),
        (UINT8, {"mean": 0.1}, "mean and std go together"),
        (
            UINT8,
            {"mean": (0.1, 0.2), "std": 1},
            "mean is .0.1, 0.2.; give one number for each of 1",
        ),
        (UINT8, {"mean": 0, "std": 0}, "standard deviations are positive"),
        (IMAGES, {"mean": 0, "std": 1}, "floats are not normalised; leave out mean and std"),
        (IMAGES, {"alpha": -1}, "alpha is -1"),
        (IMAGES, {"alpha": ()}, "alpha is"),
        (IMAGES, {"method": "newton"}, "unknown search 'newton'"),
        (IMAGES, {"restarts": 0}, "restarts is 0"),
        (IMAGES, {"steps": 1.5}, "steps is 1.5"),
        (IMAGES, {"budget": -1}, "budget is -1"),
        (IMAGES, {"batching": "threads"}, "batching is 'threads'"),
        (IMAGES, {"recipe": {"label": "true"}}, "unknown field of a recipe 'label'.*'labels'"),
        (IMAGES, {"recipe": {"lr": -1}}, "lr is -1"),
        (IMAGES, {"recipe": {"subset": 31}}, "there are 30 images, but the recipe says subset 31"),
        (IMAGES, {"recipe": {"digest": "a" * 64}}, "unknown field of a recipe 'digest'"),
        (IMAGES, {"input_shape": (2, 3)}, r"input_shape is \(2, 3\)"),
        (IMAGES.flatten(1), {}, "give input_shape"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(module, labels, images, options, words):
    with pytest.raises(UsageError, match=words):
        gentool.sharpness(module, images, labels if images is not None else None, **options)


def test_an_unknown_option_is_a_type_error(module, labels):
    with pytest.raises(TypeError, match="'restart'"):
        gentool.expected_sharpness(module, IMAGES, labels, restart=1)


def test_a_network_of_one_output_has_the_loss_of_two_logits(labels):
    single = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))
    record = gentool.sharpness(single, IMAGES, labels % 2, **QUICK)
    with torch.no_grad():
        outputs = single(IMAGES).double().squeeze(1)
    expected = nn.functional.binary_cross_entropy_with_logits(outputs, (labels % 2).double())
    assert record["sharpness"]["loss"] == pytest.approx(float(expected), rel=1e-6)
    assert record["evaluation"]["train_loss"] == record["sharpness"]["loss"]


def test_options_about_arrays_are_refused_for_a_loaded_network(trained):
    net = gentool.load(trained)
    with pytest.raises(UsageError, match="brings its recipe and its data"):
        gentool.sharpness(net, test=(IMAGES, [0] * 30))
    with pytest.raises(UsageError, match="the network was trained on digits; leave out images"):
        gentool.sharpness(net, IMAGES, [0] * 30)


def test_an_interrupt_ends_the_loop_that_calls(module, labels, monkeypatch):
    from gentool.sharpness import worst_case

    def interrupted(state, restarts, steps):
        raise KeyboardInterrupt

    monkeypatch.setattr(worst_case, "multi_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gentool.sharpness(module, IMAGES, labels)


def test_a_network_with_other_images_says_that_it_errs(module, labels):
    record = gentool.sharpness(module, IMAGES, (labels + 1) % 3, restarts=1, steps=1)
    [warning] = record["evaluation"]["warnings"]
    assert "errs on 100.0 % of the images" in warning
