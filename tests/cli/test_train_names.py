"""Test the file names of networks: they tell networks apart that differ in any training option."""

from pathlib import Path

import pytest

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.records.recipe import Recipe, default_stem, older_stem

TRAIN = ["train", "--model", "mlp", "--data", "digits", "--hidden", "4", "--subset", "20", "-q"]
SHORT = ["--epochs", "1", "-o", "g"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recipes():
    """The recipes of all networks in the folder, by the stem of the file."""
    return {path.stem: checkpoint.read(path).recipe for path in Path("g").glob("*.safetensors")}


@pytest.mark.parametrize(
    ("option", "values", "part"),
    [
        ("lr", "0.01,0.1", "lr{}"),
        ("batch-size", "5,10", "batch-size{}"),
        ("weight-decay", "0,0.001", "weight-decay{}"),
        ("momentum", "0.5,0.9", "momentum{}"),
        ("init", "he,uniform", "init-{}"),
        ("optimizer", "sgd,adam", "optimizer-{}"),
        ("schedule", "constant,one-cycle", "schedule-{}"),
        ("warmup", "0,2", "warmup{}"),
        ("patience", "3,5", "patience{}"),
        ("stop-loss", "0.1,0.01", "stop-loss{}"),
        ("stop-on", "evaluation,training", "stop-on-{}"),
        ("precision", "float32,bfloat16", "precision-{}"),
        ("epochs", "1,2", "epochs{}"),
        ("recipe", "fast,paper", "recipe-{}"),
    ],
)
def test_any_training_option_is_an_axis_and_in_the_names(option, values, part):
    """Two networks, whose names hold the values and whose recipes have them."""
    assert run([*TRAIN, *SHORT, f"--{option}", values]) == 0
    found = recipes()
    names = [f"mlp-hidden4-digits-true-20-{part.format(v)}-seed0" for v in values.split(",")]
    assert sorted(found) == sorted(names)
    if option != "recipe":
        in_recipes = [str(getattr(found[name], option.replace("-", "_"))) for name in names]
        wanted = values.split(",")
        assert [value.removesuffix(".0") for value in in_recipes] == wanted


@pytest.mark.parametrize("model", ["vgg,mlp", "mlp,vgg"])
def test_models_are_an_axis(model, capsys):
    """A model that lacks an option is named before any training."""
    assert run(["train", "--model", model, "--data", "digits", "--hidden", "4", *SHORT]) == 2
    assert "vgg has no option --hidden" in capsys.readouterr().err


def test_all_combinations_of_several_axes():
    assert run([*TRAIN, *SHORT, "--lr", "0.01,0.1", "--dropout", "0,0.5"]) == 0
    assert {(r.lr, r.dropout) for r in recipes().values()} == {
        (lr, dropout) for lr in (0.01, 0.1) for dropout in (0.0, 0.5)
    }


def test_two_commands_with_other_options_never_share_a_file(capsys):
    """The first has the short name; the second, and its repetition, the one with the option."""
    Path("g").mkdir()
    for lr in ("0.01", "0.1", "0.1", "0.01"):
        assert run([*TRAIN, *SHORT, "--lr", lr]) == 0
    plain = "g/mlp-hidden4-digits-true-20-seed0.safetensors"
    other = "g/mlp-hidden4-digits-true-20-lr0.1-seed0.safetensors"
    assert capsys.readouterr().out.split() == [plain, other, other, plain]
    assert sorted(recipe.lr for recipe in recipes().values()) == [0.01, 0.1]


def test_two_commands_without_an_output_never_share_a_file(capsys):
    for lr in ("0.01", "0.1"):
        assert run([*TRAIN, "--epochs", "1", "--lr", lr]) == 0
    assert len(set(capsys.readouterr().out.split())) == 2


@pytest.mark.parametrize("has_state", [True, False])
def test_two_commands_at_the_same_time_never_share_a_file(has_state, monkeypatch, capsys):
    """The second writes its network while the first still trains, with a state or before it."""
    from gentool.training.run import Run

    outcome, is_second = Run.outcome, []

    def with_another_command(self):
        if not is_second:
            is_second.append(True)
            if not has_state:
                self.policy.state_path.unlink()
            assert run([*TRAIN, *SHORT, "--lr", "0.1"]) == 0
        return outcome(self)

    Path("g").mkdir()
    monkeypatch.setattr(Run, "outcome", with_another_command)
    assert run([*TRAIN, *SHORT, "--lr", "0.01"]) == 0
    assert len(set(capsys.readouterr().out.split())) == 2
    assert sorted(recipe.lr for recipe in recipes().values()) == [0.01, 0.1]


@pytest.mark.parametrize(
    ("batch_norm", "model", "part"),
    [(True, "vgg", "conv"), (True, "mlp", "hidden"), (False, "vgg", "none"), ("all", "vgg", "all")],
)
def test_batch_norm_is_a_word_in_names(batch_norm, model, part):
    recipe = Recipe(model=model, data="digits", batch_norm=batch_norm)
    stem = default_stem(recipe, {"batch_norm": batch_norm})
    assert stem == f"{model}-batch-norm-{part}-digits-true-seed0"


def test_a_network_under_the_name_of_an_earlier_version_is_kept(capsys):
    """`batch-normTrue`, with the same options; with others it is no match."""
    Path("g").mkdir()
    command = [*TRAIN, *SHORT, "--batch-norm", "hidden"]
    assert run(command) == 0
    [path] = Path("g").glob("*.safetensors")
    older = path.with_stem(
        older_stem(checkpoint.read(path).recipe, {"batch_norm": True, "hidden": 4})
    )
    assert older.stem == "mlp-batch-normTrue-hidden4-digits-true-20-seed0"
    path.rename(older)
    capsys.readouterr()
    assert run(command) == 0
    assert capsys.readouterr() == (f"{older}\n", "")
    assert run([*command, "--lr", "0.5"]) == 0
    assert capsys.readouterr().out == f"{path}\n"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("lr", "0.1,x", "it takes numbers, as 1 or 1,2,3"),
        ("lr", "0.1,0", "lr is 0.0; it has to be a positive number"),
        ("lr", "0.1,0.1", "--lr names a value twice: 0.1,0.1"),
        ("batch-size", "1.5", "it takes whole numbers, as 1 or 1,2,3"),
        ("batch-size", "8,", "write values with commas between them, as a,b"),
        ("init", "he,xavier", "init is 'xavier'; it has to be he or uniform"),
        ("optimizer", "sgd,sdg", "unknown optimizer 'sdg' (did you mean 'sgd'?)"),
        ("schedule", "cosin", "unknown schedule 'cosin' (did you mean 'cosine'?)"),
        ("recipe", "papr", "unknown recipe 'papr' (did you mean 'paper'?)"),
        ("epochs", "many", "it takes whole numbers"),
    ],
)
def test_a_bad_list_is_one_plain_line(option, value, words, capsys):
    assert run([*TRAIN, *SHORT, f"--{option}", value]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "Input should" not in error
