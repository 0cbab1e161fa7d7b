"""Test that options without a meaning together are refused, that help is plain, and choices."""

import json
import re
from itertools import chain
from typing import get_args

import pytest
import typer

from gentool.cli import choices
from gentool.cli.declaring import EVERYTHING, Enables
from gentool.cli.lists import completing, listed, numbers
from gentool.cli.main import app, run
from gentool.common.errors import UsageError

COMMANDS = typer.main.get_command(app).commands
JARGON = re.compile(r"<(list|str|int|float|path|bool)|range>|x>=|default: \(|Value error")


def option(command, name, rule=None):
    """The option of a command as it is written, with a value that is valid if it takes one.

    With a rule it is a value for which the rule holds.
    """
    [parameter] = [p for p in COMMANDS[command].params if p.name == name]
    if parameter.param_type_name == "argument":
        return ["missing"]
    spelled = max(parameter.opts, key=len)
    if parameter.is_flag:
        return [spelled]
    special = {
        "method": "pga",
        "protocol": "random",
        "labels": "true",
        "batching": "loop",
        "batch_norm": "after",
        "alpha": "0.1",
        "file_format": "csv",
    }
    value = special.get(name, "0.3" if name in ("epsilon", "delta") else "3")
    if rule is not None and value in rule.unless:
        value = next(each for each in choices.PROTOCOLS if each not in rule.unless)
    return [spelled, value]


def pairs():
    """Every option with every one that its rules exclude, and every one that it enables alone."""
    for command, of_command in COMMANDS.items():
        for name, rules in of_command.callback.rules.items():
            for rule in rules:
                if isinstance(rule, Enables):
                    yield from ((command, None, [], other) for other in rule.names)
                    continue
                others = rule.names
                if others == (EVERYTHING,):
                    free = {"quiet", "debug", *rule.but}
                    others = [p.name for p in of_command.params if p.name not in free]
                yield from ((command, rule, [name], other) for other in others if other != name)


@pytest.mark.parametrize(("command", "rule", "said", "other"), list(pairs()))
def test_an_option_without_a_meaning_is_refused_by_name(command, rule, said, other, capsys):
    """One line that names it, exit code 2, before any file is read."""
    names = [*(option(command, name, rule) for name in said), option(command, other)]
    words = list(chain.from_iterable(names))
    needs_file = command not in ("train",) and "list_measures" not in said
    needs_output = ["-o", "out"] if command == "convert" else []
    arguments = [*command.split(), *words, *needs_output, *(["missing"] if needs_file else [])]
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert "has no meaning with" in error
    assert error.count("\n") == 1


def test_every_option_of_sharpness_has_its_place():
    """Search, noise or both: a new option has to be put into one of them."""
    both = {
        "checkpoints", "alpha", "fold_batch_norm", "batching", "seed", "output", "data", "log",
        "data_dir", "device", "threads", "force", "skip_existing", "quiet", "debug", "expected",
        "list_measures", "only", "show_all",
    }  # fmt: skip
    rules = COMMANDS["sharpness"].callback.rules["expected"]
    placed = both | {name for rule in rules for name in rule.names}
    panels = {p.name: p.rich_help_panel for p in COMMANDS["sharpness"].params}
    assert {n for n, panel in panels.items() if panel != "Foreign checkpoints"} <= placed


def test_help_is_a_command_too(capsys):
    assert run(["help", "table"]) == 0
    assert "Usage: gentool table" in capsys.readouterr().out
    assert run(["help"]) == 0
    assert "Usage: gentool [OPTIONS]" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("width", [80, 140])
def test_help_fits_the_terminal_and_has_no_jargon(command, width, monkeypatch, capsys):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", width)
    assert run([*command.split(), "-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == width
    assert not [line for line in lines if JARGON.search(line)]


def test_help_of_train_is_in_panels(capsys):
    assert run(["train", "--help"]) == 0
    panels = re.findall("╭─ ([A-Z][a-z]+) ─", capsys.readouterr().out)
    assert panels == ["Data", "Model", "Optimisation", "Stopping", "Machine", "Output", "Messages"]


def test_choices_are_those_of_the_registries():
    from gentool.data.sources import DATASETS
    from gentool.networks.models import MODELS
    from gentool.records.presets import PRESETS
    from gentool.sharpness.search.baselines import METHODS
    from gentool.sharpness.search.protocols import PROTOCOLS
    from gentool.training.optimizers import OPTIMIZERS
    from gentool.training.schedules import SCHEDULES

    assert set(choices.MODELS) == set(MODELS.names)
    assert {*choices.DATA_SETS, "folder", "npz"} == set(DATASETS.names)
    assert set(choices.PRESETS) == set(PRESETS.names)
    assert set(choices.OPTIMIZERS) == set(OPTIMIZERS.names)
    assert set(choices.SCHEDULES) == set(SCHEDULES.names)
    assert set(choices.METHODS) == set(METHODS.names)
    assert set(choices.PROTOCOLS) == set(PROTOCOLS.names)


def test_choices_of_figures_and_tables_are_those_of_the_package():
    from gentool.figures import FIGURES
    from gentool.figures.page import STYLES
    from gentool.figures.path_norms import READINGS
    from gentool.records.averaging import ERRORBARS
    from gentool.records.table_files import format_of

    assert set(get_args(choices.Figure)) == set(FIGURES.names)
    assert set(get_args(choices.PathNorms)) == set(READINGS)
    assert set(get_args(choices.Errorbar)) == set(ERRORBARS)
    assert set(get_args(choices.PageStyle)) == set(STYLES)
    assert all(format_of(None, name) for name in get_args(choices.TableFormat))


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["plot", "--figure", "5"], "--figure", "5"),
        (["plot", "--errorbar", "sem"], "--errorbar", "sem"),
        (["plot", "--style", "poster"], "--style", "poster"),
        (["plot", "--figure", "1", "--path-norms", "all"], "--path-norms", "all"),
        (["table", "--format", "xlsx"], "--format", "xlsx"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(words, name, value, capsys):
    """One line, exit code 2, before any file is read."""
    assert run([*words, "missing.json"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"'{name}'" in line
    assert f"'{value}' is not one of" in line


def test_every_choice_is_in_the_help(capsys):
    for command, names in (
        ("train", (*choices.MODELS, *choices.DATA_SETS, *choices.OPTIMIZERS, *choices.SCHEDULES)),
        ("sharpness", (*choices.METHODS, *choices.PROTOCOLS)),
    ):
        assert run([command, "--help"]) == 0
        text = "".join(re.sub("[│\n]", " ", capsys.readouterr().out).split())
        assert all(name in text for name in names)


def test_lists_take_commas_and_repeated_options():
    assert listed("only", ["l2,spectral", "margin"]) == ("l2", "spectral", "margin")
    assert listed("only", "l2, spectral") == ("l2", "spectral")
    assert listed("only", None) is None
    assert numbers("alpha", ["0.1,0.2", "3"], float) == (0.1, 0.2, 3.0)
    with pytest.raises(UsageError, match="with commas between them"):
        listed("only", ["l2,"])


def test_the_last_value_of_a_list_is_completed():
    assert completing(lambda: ("sgd", "adam"))("sgd,a") == ["sgd,sgd", "sgd,adam"]


def test_shells_complete_commands_and_choices(monkeypatch, capsys):
    """As bash asks: the words so far are in the environment."""
    monkeypatch.setenv("_GENTOOL_COMPLETE", "complete_bash")
    for words, wanted in (
        ("gentool sh", "sharpness"),
        ("gentool train --optimizer sgd,a", "sgd,adam"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            run([])
        assert wanted in capsys.readouterr().out.split()


def test_verify_is_found_where_it_is_looked_for(capsys):
    """As a command, as two words, and after an option, where a line says what to write."""
    for words in (["verify"], ["sharpness", "verify"]):
        assert run([*words, "--help"]) == 0
        assert "gentool verify" in capsys.readouterr().out
    assert run(["sharpness", "-q", "verify", "a.safetensors", "w.witness"]) == 2
    assert "gentool verify a.safetensors w.witness" in capsys.readouterr().err
    assert run(["sharpness", "--help"]) == 0
    assert "gentool verify" in capsys.readouterr().out


def test_plot_lists_figures_and_keys(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["plot", "--list"]) == 0
    assert "growth: Prepare measures" in capsys.readouterr().out
    train = ["train", "--model", "mlp", "--data", "digits", "--hidden", "4", "--subset", "20"]
    assert run([*train, "--epochs", "1", "-q", "-o", "net.safetensors"]) == 0
    assert run(["measure", "net.safetensors", "--only", "l2", "-q"]) == 0
    capsys.readouterr()
    assert run(["plot", "--list", "net.measures.json"]) == 0
    keys = capsys.readouterr().out.split()
    assert {"l2", "gap", "recipe.hidden", "outcome.test_error"} <= set(keys)


def test_train_lists_what_its_options_choose_among(capsys):
    assert run(["train", "--list"]) == 0
    listed_names = capsys.readouterr().out
    for name in (*choices.MODELS, *choices.DATA_SETS, *choices.SCHEDULES):
        assert f"\n    {name}" in listed_names


def test_measures_are_added_to_a_file_of_the_same_settings(tmp_path, monkeypatch, capsys):
    """Without --force; with other settings the file is kept, and the setting is named."""
    monkeypatch.chdir(tmp_path)
    train = ["train", "--model", "mlp", "--data", "digits", "--hidden", "4", "--subset", "20"]
    assert run([*train, "--epochs", "1", "-q", "-o", "net.safetensors"]) == 0
    measured = ["measure", "net.safetensors", "-q"]
    assert run([*measured, "--only", "l2", "--only", "margin"]) == 0
    path = tmp_path / "net.measures.json"
    before = json.loads(path.read_text())
    assert run([*measured, "--only", "l1_path,l2"]) == 0
    after = json.loads(path.read_text())
    assert set(after["measures"]) == {"l2", "margin", "l1_path"}
    assert after["command"]["only"] == ["l2", "margin", "l1_path"]
    assert {n: after["log10"][n] for n in ("l2", "margin")} == before["log10"]
    capsys.readouterr()
    assert run([*measured, "--only", "spectral", "--epsilon", "0.2"]) == 1
    assert "made with epsilon 0.05, not 0.2" in capsys.readouterr().err
    assert run(measured) == 1
    assert "exists; replace it with --force" in capsys.readouterr().err
    assert json.loads(path.read_text()) == after


def test_the_old_name_of_the_relative_error_is_understood_with_a_note(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    train = ["train", "--model", "mlp", "--data", "digits", "--hidden", "4", "--subset", "20"]
    assert run([*train, "--epochs", "1", "-q", "-o", "net.safetensors"]) == 0
    sample = ["sharpness", "net.safetensors", "--expected", "--alpha", "0.01", "--draws", "4"]
    for option in ("--precision", "--rel-error"):
        assert run([*sample, option, "0.5", "-o", "-"]) == 0
        out, err = capsys.readouterr()
        assert ("--precision is called --rel-error now" in err) == (option == "--precision")
        assert json.loads(out.splitlines()[-1])["command"]["precision"] == 0.5
    assert run([*sample, "--precision", "0.5", "--rel-error", "0.5"]) == 2
    assert run(["sharpness", "--help"]) == 0
    assert "--precision" not in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_of_an_example_is_broken_at_80_columns(command):
    """Or it could not be copied from the terminal."""
    example = COMMANDS[command].help.partition("Example:")[2]
    assert max(map(len, example.splitlines())) <= 78  # the help has a margin of 1
