"""Test every numeric option of every command with numbers beyond sense.

The options are those that the commands declare, so that a new one is tested by itself.
"""

import typer

from gentool.cli.main import app, run
from gentool.records.recipe import parse_labels

METAVARS = {"N", "X", "N,...", "X,..."}
BEYOND = ("nan", "inf", "-inf", "1e30", "-1e30", str(10**30), str(-(10**30)), "1e999", "9" * 5000)
GIVEN = {
    "train": ["--data", "digits", "--model", "vgg", "-o", "missing/network.safetensors"],
    "verify": ["missing.safetensors", "missing.witness"],
    "convert": ["missing.pth", "--data", "digits", "-o", "missing.safetensors"],
}
OF_MLPS = ("--hidden", "--depth")
WORDS = ("--labels", "--size")  # options of words that may be numbers
NEEDED = {"--rel-error": "--expected", "--draws": "--expected", "--delta": "--expected"}


def numeric_options():
    """Yield command and option of each option that takes numbers."""
    for name, command in typer.main.get_command(app).commands.items():
        if "_" in name or command.hidden:
            continue
        for parameter in command.params:
            option = max(parameter.opts, key=len)
            if parameter.param_type_name == "option" and (
                parameter.metavar in METAVARS or option in WORDS
            ):
                yield name, option


def test_the_numeric_options_are_found():
    found = set(numeric_options())
    assert len(found) > 50
    needed = "threads labels width restarts budget seed rel-error epochs batch-size hidden size"
    assert {f"--{word}" for word in needed.split()} <= {option for _, option in found}


def test_numbers_beyond_sense_are_wrong_usage_at_once(capsys):
    """Exit code 2, and one short line that names the option; no file is looked at before."""
    wrong = []
    for name, option in numeric_options():
        given = list(GIVEN.get(name, ["missing.file"]))
        if option in OF_MLPS:
            given[3] = "mlp"
        if option in NEEDED and name == "sharpness":
            given.append(NEEDED[option])
        if name == "plot" and option in ("--alpha", "--seed"):
            given += ["--figure", "direction"]
        for number in BEYOND:
            code = run([name, *given, option, number])
            error = capsys.readouterr().err
            word = option.removeprefix("--").replace("data-", "")
            is_named = option in error or f"{word} " in error or "--data-seed" in error
            if code != 2 or error.count("\n") != 1 or not is_named or len(error) > 400:
                wrong.append((name, option, number[:40], code, error[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_fractions_of_labels_are_read_without_computing_huge_powers():
    """As 3/10; 1e-999999999 would take minutes as an exact fraction."""
    assert parse_labels("3/10") == 0.3
    assert parse_labels("0.25") == 0.25
    assert parse_labels("1e-999999999") == "true"
