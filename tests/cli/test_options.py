"""Test groups of options: flat on the command line, one object in the command."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from gentool.cli import options
from gentool.cli.main import app, run


@dataclass(frozen=True)
class Pair:
    """Two options of a test."""

    first: Annotated[int, typer.Option(help="First number.")] = 1
    second: Annotated[int, typer.Option(help="Second number.")] = 2


def parameters(command):
    """The parameters that Typer makes of a command."""
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return typer.main.get_command(app).params


def test_a_group_stands_in_the_help_as_its_options_at_its_place():
    @options.shared
    def command(before: int = 0, *, pair: Pair, after: int = 3) -> None: ...

    defaults = {parameter.name: parameter.default for parameter in parameters(command)}
    assert list(defaults.items()) == [("before", 0), ("first", 1), ("second", 2), ("after", 3)]


def test_a_command_receives_a_group_as_one_object():
    received = []

    @options.shared
    def command(before: int = 0, *, pair: Pair) -> None:
        received.append((before, pair))

    app = typer.Typer(add_completion=False)
    app.command()(command)
    app(["--second", "5", "--before", "4"], standalone_mode=False)
    assert received == [(4, Pair(first=1, second=5))]


def test_two_groups_with_one_name_are_an_error():
    """Or one of the two options would be lost silently."""
    with pytest.raises(ValueError, match="duplicate parameter name: 'first'"):

        @options.shared
        def command(*, pair: Pair, first: int = 0) -> None: ...


NETWORK = (
    "model input_shape pool order module layers key leave_out activation batch_norm padding stride"
)
READING = "channels resize channels_first classes"


@pytest.mark.parametrize(
    ("command", "last"),
    [
        (
            "train",
            "output log wait channels resize channels_first classes data_dir device threads force "
            "skip_existing quiet debug",
        ),
        (
            "sharpness",
            f"output data log {NETWORK} {READING} labels subset first data_seed mean std "
            "data_dir device threads force skip_existing quiet debug",
        ),
        (
            "sharpness verify",
            f"witness data {NETWORK} {READING} labels subset first seed mean std "
            "data_dir device threads quiet debug",
        ),
        (
            "inspect",
            f"write_layers data {NETWORK} {READING} labels subset first seed mean std "
            "data_dir device threads force skip_existing quiet debug",
        ),
        (
            "plot",
            f"seed list_names data {NETWORK} {READING} labels subset first data_seed mean std "
            "data_dir device threads force skip_existing quiet debug",
        ),
        ("claims", "output force skip_existing quiet debug"),
        (
            "measure",
            f"output data {NETWORK} {READING} labels subset first seed mean std "
            "data_dir device threads force skip_existing quiet debug",
        ),
        (
            "convert",
            f"output {NETWORK} data {READING} labels subset first seed mean std "
            "data_dir force skip_existing quiet debug",
        ),
    ],
)
def test_shared_options_come_last_and_in_one_order(command, last):
    names = [p.name for p in typer.main.get_command(app).commands[command].params]
    assert names[-len(last.split()) :] == last.split()


def test_the_data_folder_can_be_an_environment_variable(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENTOOL_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr("urllib.request.urlopen", None)  # nothing is fetched
    assert run(["train", "--quiet", "-o", str(tmp_path / "a.safetensors")]) == 1
    assert "nowhere" in capsys.readouterr().err
