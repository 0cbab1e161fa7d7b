"""Modules as users write them: read with their own logits, or refused by name, never another."""

import warnings
from pathlib import Path

import pytest
import torch
from helpers import user_modules
from helpers.foreign_networks import with_random_statistics
from helpers.small_sets import ROUNDING
from torch import nn

import gentool
from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError
from gentool.networks.canonical import canonical

SHAPE = (3, 8, 8)
READ = (
    *("same_padding", "same_padding_dilated", "valid_padding", "sync_batch_norm"),
    *("sync_batch_norm_of_vectors", "nested", "late_flatten", "pooled_to_the_same_size"),
    *("Loop", "InPlaceWithoutResult", "ResultThatNothingUses"),
)
FORMULAS = (
    *("with_weight_norm", "with_older_weight_norm", "with_spectral_norm"),
    *("with_older_spectral_norm", "orthogonal", "pruned"),
)
REFUSED = {
    "InPlaceOnBranch": "not a chain of layers",
    "Residual": "not a chain of layers",
    "Relu6": "'relu6' is called as a function",
    "hook_on_a_layer": "'0' has a hook",
    "hook_on_dropout": "'6' has a hook",
    "hook_on_identity": "'2' has a hook",
    "hook_on_the_module": "the module has a hook",
    "pre_hook_on_the_module": "the module has a hook",
    "hook_on_a_container": "'0' has a hook",
}
OF_A_LIST = {  # exact in memory, but not in a list of layers
    "same_padding_of_an_even_kernel": "'0' .* has no place in a list",
    "flattened_in_part": "'0' .* has no place in a list",
    "CalledTwice": "'layers.1' is called twice",
}


def built(name):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the older norms
        return with_random_statistics(getattr(user_modules, name)()).eval()


def read_by_module(folder, name, model):
    torch.save(model.state_dict(), folder / "net.pth")
    hints = Hints(module=f"helpers.user_modules:{name}", input_shape=SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return checkpoint.read(folder / "net.pth", hints)


def check_logits(network, model, flatten=False, tolerance=ROUNDING):
    """The same logits on random images, in float64, to rounding."""
    images = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        expected = model.double()(images.flatten(1) if flatten else images)
        difference = (network(images) - expected).abs().max()
    assert difference <= tolerance * expected.abs().max()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", [*READ, *OF_A_LIST])
def test_a_module_in_memory_has_its_own_logits(name):
    model = built(name)
    check_logits(canonical(model, SHAPE), model)
    assert gentool.measure(model, SHAPE, only="l2_path_unnormalized")["measures"]


@pytest.mark.parametrize("name", [*READ, *FORMULAS])
def test_a_state_dict_with_the_class_of_the_user_has_its_own_logits(tmp_path, name):
    """Also where the weights are formulas."""
    model = built(name)
    read = read_by_module(tmp_path, name, model)
    check_logits(canonical(read.model(), SHAPE), model)
    check_logits(read.model().double(), model)


def test_a_module_of_vectors_gets_its_images_flattened(tmp_path):
    model = built("mlp_of_vectors")
    read = read_by_module(tmp_path, "mlp_of_vectors", model)
    check_logits(canonical(read.model(), SHAPE), model, flatten=True)


@pytest.mark.parametrize("name", [*REFUSED, "hook_on_a_wrapper"])
def test_what_is_no_chain_of_layers_is_refused_by_name(tmp_path, name):
    """In memory and by --module: a hook is never dropped."""
    words = REFUSED.get(name, "the wrapper of the module has a hook")
    with pytest.raises(GentoolError, match=words):
        canonical(built(name), SHAPE)
    with pytest.raises(GentoolError, match=words):
        read_by_module(tmp_path, name, built(name))


@pytest.mark.parametrize("name", [*FORMULAS, *OF_A_LIST])
def test_what_one_way_cannot_hold_is_refused_by_name(tmp_path, name):
    """In memory: weights that are formulas; in a list of layers: what it has no words for."""
    if name in FORMULAS:
        with pytest.raises(
            GentoolError, match=r"layer '[01]' .*(a hook|cannot be treated exactly)"
        ):
            canonical(built(name), SHAPE)
    else:
        with pytest.raises(GentoolError, match=OF_A_LIST[name]):
            read_by_module(tmp_path, name, built(name))


HOOKS = ("with_older_weight_norm", "with_older_spectral_norm", "pruned")
WHOLE = (*READ, *HOOKS, *OF_A_LIST, *REFUSED)  # torch does not pickle parametrizations


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_module_that_was_pickled_has_its_own_logits_or_is_refused(tmp_path, name):
    """Nothing of the pickle is run; a class of its own is read from the tensors, or asked about."""
    model = built(name)
    torch.save(model, tmp_path / "net.pt")
    try:
        read = checkpoint.read(tmp_path / "net.pt", Hints(input_shape=SHAPE))
    except GentoolError:
        assert not isinstance(model, nn.Sequential) or name not in READ, "it tells its layers"
        return
    if isinstance(model, nn.Sequential):
        tolerance = 1e-6 if name in HOOKS else ROUNDING  # computed in float32
        check_logits(canonical(read.model(), SHAPE), model, tolerance=tolerance)
    else:
        assert any("assumed" in word for word in read.recipe.origin["inferred"])


STATE = {
    "criterion.weight": torch.ones(5),
    "metrics.confmat": torch.ones(5, 5),
    "train_acc.tp": torch.ones(5),
}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "net.", "module._orig_mod."])
def test_tensors_of_no_layer_do_not_break_the_strict_load(tmp_path, prefix):
    """They are named; the rest has to fit exactly."""
    model = built("Loop")
    state = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
    state = {"n_averaged": torch.tensor(3)} | state | STATE
    torch.save(state, tmp_path / "net.pth")
    read = checkpoint.read(tmp_path / "net.pth", Hints(module="helpers.user_modules:Loop"))
    check_logits(canonical(read.model(), SHAPE), model)
    [aside] = [word for word in read.recipe.origin["inferred"] if "left aside" in word]
    for name in ("n_averaged", *STATE):
        assert name in aside


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s | {"extra.weight": torch.ones(3, 3)}, "it has no extra.weight"),
        (lambda s: {k: v for k, v in s.items() if k != "layers.1.bias"}, "layers.1.bias"),
        (
            lambda s: {f"{p}.{k}": v for p in ("net", "ema") for k, v in s.items()},
            "--key ema",
        ),
        (
            lambda s: {f"net.{k}": v for k, v in s.items()} | {"head.weight": torch.ones(3, 3)},
            "it has no head.weight; .* --key net",
        ),
    ],
)
def test_other_tensors_stay_an_error_that_names_them(tmp_path, change, words):
    torch.save(change(built("Loop").state_dict()), tmp_path / "net.pth")
    with pytest.raises(GentoolError, match=words):
        checkpoint.read(Path(tmp_path / "net.pth"), Hints(module="helpers.user_modules:Loop"))


def test_a_normalising_layer_beside_the_network_is_taken_as_its_mean_and_deviation(tmp_path):
    state = {f"1.{name}": tensor for name, tensor in built("same_padding").state_dict().items()}
    state |= {"0.mean": torch.full((1, 3, 1, 1), 0.5), "0.std": torch.full((1, 3, 1, 1), 0.25)}
    torch.save(state, tmp_path / "net.pth")
    hints = Hints(module="helpers.user_modules:same_padding", input_shape=SHAPE)
    origin = checkpoint.read(tmp_path / "net.pth", hints).recipe.origin
    assert (origin["mean"], origin["std"]) == ([0.5] * 3, [0.25] * 3)
