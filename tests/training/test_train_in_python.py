"""`gentool.train` and `gentool.load`: the networks of the command, and no file unless asked."""

import json

import numpy as np
import pytest
import torch

import gentool
from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError

RECIPE = {"model": "mlp", "hidden": 16, "data": "digits", "labels": "random", "subset": 100}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_options_give_the_file_of_the_command_byte_for_byte(tmp_path, trained):
    net = gentool.train(RECIPE | {"lr": 0.1}, "net.safetensors", device="cpu")
    assert net.path.read_bytes() == trained.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"recipe": "paper", "epochs": 3, "first": 60}, "--recipe paper --epochs 3 --first 60"),
        ({"optimizer": "adam", "epochs": 2}, "--optimizer adam --epochs 2"),
        (
            {"labels": 0.3, "subset": 90, "confusion": 9, "epochs": 2},
            "--labels 0.3 --subset 90 --confusion 9 --epochs 2",
        ),
        ({"batch-norm": "hidden", "epochs": 2}, "--batch-norm hidden --epochs 2"),
        ({"dropout": 0.2, "seed": np.int64(5), "epochs": 2}, "--dropout 0.2 --seed 5 --epochs 2"),
        ({"patience": 0, "momentum": 0.5, "epochs": 2}, "--patience 0 --momentum 0.5 --epochs 2"),
    ],
)
def test_every_option_means_what_it_does_on_the_command_line(options, arguments):
    base = ["--model", "mlp", "--hidden", "8", "--data", "digits", "--device", "cpu", "--quiet"]
    assert run(["train", *base, *arguments.split(), "-o", "a.safetensors"]) == 0
    net = gentool.train({"model": "mlp", "hidden": 8, "data": "digits"} | options, device="cpu")
    saved = gentool.load("a.safetensors")
    assert net.recipe == saved.recipe
    assert net.outcome == saved.outcome
    assert net.sha256 == saved.sha256


def test_nothing_is_written_without_a_path(tmp_path):
    net = gentool.train(RECIPE | {"epochs": 2})
    assert list(tmp_path.iterdir()) == []
    assert net.path is None
    assert not net.module.training


def test_a_network_in_memory_has_the_record_of_its_file(trained):
    net = gentool.train(RECIPE | {"lr": 0.1}, device="cpu")
    networks = (net, gentool.load(trained))
    first, second = (gentool.measure(n, only="l2,margin", device="cpu") for n in networks)
    assert first["checkpoint"]["sha256"] == second["checkpoint"]["sha256"]
    for record in (first, second):
        del record["seconds"], record["checkpoint"]
    assert first == second


def test_the_recipe_of_a_loaded_network_trains_it_again(trained):
    again = gentool.train(gentool.load(trained).recipe, device="cpu")
    assert again.sha256 == gentool.load(trained).sha256


def test_a_recipe_by_hand_gets_the_defaults_of_its_model():
    recipe = gentool.Recipe(model="mlp", data="digits", subset=50, epochs=1, lr=0.1)
    assert gentool.train(recipe).recipe.hidden == 512


def test_epochs_are_reported():
    reports = []
    gentool.train(RECIPE | {"epochs": 3}, on_epoch=reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3]


def test_the_number_of_threads_and_the_random_state_are_as_before():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    gentool.train(RECIPE | {"epochs": 1, "dropout": 0.1})
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_an_interrupted_training_is_continued_to_the_same_file(trained, monkeypatch):
    from gentool.training import run as run_module

    def interrupt(report):
        if report.epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_STATES", -1.0)
    recipe = RECIPE | {"lr": 0.1}
    with pytest.raises(KeyboardInterrupt):
        gentool.train(recipe, "net.safetensors", on_epoch=interrupt, device="cpu")
    with pytest.raises(GentoolError, match="interrupted run; continue with resume=True"):
        gentool.train(recipe, "net.safetensors")
    first = []
    net = gentool.train(recipe, "net.safetensors", resume=True, on_epoch=first.append, device="cpu")
    assert first[0].epoch == 3
    assert net.path.read_bytes() == trained.read_bytes()


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ({"hiden": 5}, {}, "unknown option of a recipe 'hiden'.*'hidden'"),
        ({"model": "mlp", "width": 0.5}, {}, "mlp has no option --width"),
        ({"lr": -1, "data": "digits"}, {}, "lr is -1"),
        ({"optimizer": "lion"}, {}, "unknown optimizer 'lion'"),
        ({"recipe": "slow"}, {}, "unknown recipe 'slow'"),
        ({"first": 5, "subset": 5}, {}, "exclude each other"),
        ({"model": "resnet"}, {}, "unknown model 'resnet'"),
        ({"digest": "a" * 64}, {}, "unknown option of a recipe 'digest'"),
        (RECIPE, {"path": "net.pt"}, "has to end in .safetensors"),
        (RECIPE, {"resume": True}, "give the path, too"),
        (gentool.Recipe(model="mlp", width=2.0), {}, "mlp has no option --width"),
        (gentool.Recipe.of_foreign(), {}, "its recipe cannot be repeated"),
    ],
)
def test_what_cannot_be_trained_is_a_usage_error(recipe, options, words):
    with pytest.raises(UsageError, match=words):
        gentool.train(recipe, **options)


def test_a_file_that_exists_is_kept_unless_it_is_to_be_replaced(saved):
    before = saved.read_bytes()
    with pytest.raises(GentoolError, match="exists; replace it with force=True"):
        gentool.train(RECIPE, saved)
    assert saved.read_bytes() == before
    assert gentool.train(RECIPE | {"epochs": 1}, saved, force=True).outcome.epochs == 1


def test_a_recipe_of_other_data_is_refused(trained):
    from dataclasses import replace

    recipe = replace(gentool.load(trained).recipe, fingerprint="0" * 64)
    with pytest.raises(GentoolError, match="the data differs"):
        gentool.train(recipe)


def test_a_loaded_network_brings_its_training_and_test_set(trained):
    net = gentool.load(trained)
    images, labels = net.training_set()
    assert (tuple(images.shape), images.dtype) == ((100, 1, 8, 8), torch.float32)
    with torch.no_grad():
        assert (net.module(images).argmax(1) != labels).float().mean() == net.outcome.train_error
        images, labels = net.test_set()
        error = (net.module(images).argmax(1) != labels).float().mean()
    assert error == pytest.approx(net.outcome.test_error)


def test_changing_the_module_of_a_loaded_network_changes_no_record(trained):
    net = gentool.load(trained)
    before = gentool.measure(net, only="l2")["measures"]
    for parameter in net.module.parameters():
        parameter.data.zero_()
    assert gentool.measure(net, only="l2")["measures"] == before


@pytest.fixture
def foreign(tmp_path, trained):
    """The trained network as another program saves it, and its data as an archive."""
    net = gentool.load(trained)
    torch.save(net.module.state_dict(), tmp_path / "net.pth")
    images, labels = net.training_set()
    np.savez(tmp_path / "set.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return tmp_path / "net.pth"


def test_a_foreign_file_is_loaded_with_hints_and_data(foreign, trained):
    net = gentool.load(foreign, data="npz:set.npz", input_shape=(1, 8, 8))
    assert net.outcome is None
    assert net.recipe.input_shape == (1, 8, 8)
    record = gentool.measure(net, only="margin,l2", device="cpu")
    expected = gentool.measure(gentool.load(trained), only="margin,l2", device="cpu")
    assert record["measures"] == pytest.approx(expected["measures"], rel=1e-5)
    assert record["evaluation"]["train_error"] == expected["evaluation"]["train_error"]
    assert json.dumps(record)


def test_images_may_be_given_for_a_foreign_file_without_data(foreign):
    net = gentool.load(foreign)
    assert gentool.measure(net, only="margin")["measures"]["margin"] is None
    images, labels = np.load("set.npz")["x_train"], np.load("set.npz")["y_train"]
    record = gentool.measure(net, (1, 8, 8), images=images, labels=labels, only="margin")
    assert record["measures"]["margin"] is not None
    assert record["checkpoint"]["sha256"] == net.sha256
    with pytest.raises(UsageError, match="data of the network is unknown"):
        gentool.sharpness(net)


def test_a_loaded_network_that_does_not_fit_its_data_warns(foreign):
    net = gentool.load(foreign, data="digits", labels="true")
    with pytest.warns(UserWarning, match="the network errs on"):
        gentool.measure(net, only="l2")


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        ({"poll": "max"}, "unknown hint 'poll'.*'pool'"),
        ({"input_shape": (1, 8)}, "--input-shape is '1x8'"),
        ({"order": {"a": 1}}, "order is {'a': 1}; give a text"),
        ({"pool": "min"}, "unknown pooling 'min'"),
    ],
)
def test_a_wrong_hint_is_a_usage_error(foreign, hints, words):
    with pytest.raises(UsageError, match=words):
        gentool.load(foreign, **hints)


def test_a_missing_file_is_named():
    with pytest.raises(GentoolError, match=r"nowhere.pth"):
        gentool.load("nowhere.pth")
