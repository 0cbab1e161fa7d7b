"""A command that is stopped by a signal keeps what it has, and says how to go on."""

import json
import os
import pkgutil
import signal
from pathlib import Path

import pytest

from gentool.cli.main import run
from gentool.training.state_file import parse

TRAIN = ["train", "--model", "mlp", "--data", "digits", "--hidden", "8", "--subset", "50"]
LONG = [*TRAIN, "--epochs", "30", "--stop-loss", "1e-30", "--patience", "0"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def send_at_call(monkeypatch, target, calls, number=signal.SIGTERM):
    """Send a signal to this process when a function is called for the n-th time."""
    module, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(module)
    function, count = getattr(owner, name), [0]

    def counted(*arguments, **options):
        count[0] += 1
        if count[0] == calls:
            os.kill(os.getpid(), number)
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_training_saves_its_last_epoch_and_resumes_to_the_same_bytes(
    number, monkeypatch, capsys
):
    """A short epoch is finished first, so that nothing is lost."""
    assert run([*LONG, "-q", "-o", "whole.safetensors"]) == 0
    with monkeypatch.context() as patch:
        send_at_call(patch, "gentool.training.stacked_mlps.losses_and_errors", 7, number)
        assert run([*LONG, "-o", "a.safetensors"]) == 128 + number
    out, err = capsys.readouterr()
    assert out == "whole.safetensors\n"
    assert err.endswith("-o a.safetensors --resume\n")
    whole = ["whole.safetensors", "whole.safetensors.last-state"]
    assert files() == ["a.safetensors.state", *whole]

    assert parse(Path("a.safetensors.state").read_bytes()).epoch == 7
    assert run([*LONG, "-o", "a.safetensors", "--resume", "-q"]) == 0
    assert Path("a.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert files() == ["a.safetensors", "a.safetensors.last-state", *whole]


def test_a_stopped_grid_saves_all_states_of_a_stack_and_the_same_command_goes_on(
    monkeypatch, capsys
):
    grid = [*LONG, "--seed", "0,1,2"]
    assert run([*grid, "-q", "-o", "whole"]) == 0
    with monkeypatch.context() as patch:
        send_at_call(patch, "gentool.training.stacked_mlps.losses_and_errors", 7)
        assert run([*grid, "-o", "grid"]) == 143
    assert "continue with: gentool train" in capsys.readouterr().err
    assert [path.suffix for path in Path("grid").iterdir()] == [".state"] * 3
    assert run([*grid, "-o", "grid", "-q"]) == 0
    for path in Path("whole").glob("*.safetensors"):
        assert (Path("grid") / path.name).read_bytes() == path.read_bytes()
    assert len(list(Path("grid").glob("*.safetensors"))) == 3
    assert not list(Path("grid").glob("*.state"))


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ([], "gentool.sharpness.worst_case.evaluate_point"),
        (["--flatness"], "gentool.sharpness.flatness_record.hessian_trace"),
        (["--protocol", "m-sharpness"], "gentool.sharpness.worst_case.evaluate_point"),
    ],
)
def test_a_search_that_is_stopped_after_its_end_keeps_its_result(
    saved, options, target, monkeypatch, capsys
):
    """In the evaluation of the best point, which is repeated, or in what is computed besides."""
    few = ["--restarts", "1", "--steps", "1", "-q", *options]
    send_at_call(monkeypatch, target, 1)
    assert run(["sharpness", str(saved), *few]) == 143
    assert "the best result so far is written" in capsys.readouterr().err
    record = json.loads(saved.with_suffix(".sharpness.json").read_text())
    assert record["measures"]["sharpness"] > 0
    assert any("interrupted" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("options", "target", "ending"),
    [
        ([], "gentool.sharpness.search.multi_start.refine", ".sharpness.json"),
        (["--expected"], "gentool.sharpness.expected._add", ".expected.json"),
    ],
)
def test_a_search_that_is_stopped_writes_the_best_so_far(
    saved, options, target, ending, monkeypatch, capsys
):
    send_at_call(monkeypatch, target, 200 if options else 1)
    assert run(["sharpness", str(saved), *options, "-q"]) == 143
    out, err = capsys.readouterr()
    path = saved.with_suffix(ending)
    assert out == f"{path}\n"
    assert "so far" in err
    assert err.count("\n") == 1
    assert any("stopped early" in note for note in json.loads(path.read_text())["notes"])


def test_the_rest_of_several_checkpoints_is_told_as_a_command(saved, monkeypatch, capsys):
    """The file of the first is written; the second was not begun with."""
    second = saved.with_name("second.safetensors")
    second.write_bytes(saved.read_bytes())
    with monkeypatch.context() as patch:
        send_at_call(patch, "gentool.measures.measure.canonical", 2)
        assert run(["measure", str(saved), str(second), "--only", "l2", "-q", "--force"]) == 143
    out, err = capsys.readouterr()
    assert out == f"{saved.with_suffix('.measures.json')}\n"
    rest = f"gentool measure {saved} {second} --only l2 -q --skip-existing"
    assert err == (
        "gentool: interrupted; only the files named on stdout were written; "
        f"do the rest with: {rest}\n"
    )
    assert run(rest.split()[1:]) == 0
    assert second.with_suffix(".measures.json").exists()


def test_a_signal_while_the_options_are_read_is_told_too(monkeypatch, capsys):
    send_at_call(monkeypatch, "gentool.cli.main.TwoWordCommands.resolve_command", 1)
    assert run([*LONG, "-o", "a.safetensors"]) == 143
    assert "interrupted; start again with: gentool train" in capsys.readouterr().err
    send_at_call(monkeypatch, "gentool.cli.main.TwoWordCommands.make_context", 1)
    assert run(["plot", "a.json"]) == 143
    assert (
        capsys.readouterr().err == "gentool: interrupted; start again with: gentool plot a.json\n"
    )


def test_an_interrupt_that_a_library_turned_into_an_error_is_still_an_interrupt(
    saved, monkeypatch, capsys
):
    """PyTorch raises ValueError where a signal arrives while it reads a sequence."""

    def converted(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape of object type") from None

    monkeypatch.setattr("gentool.measures.measure.canonical", converted)
    monkeypatch.setattr("gentool.training.loop.StackedMLPs.train_epoch", converted)
    for command in (["measure", str(saved), str(saved.parent)], LONG, [*LONG, "--seed", "0,1"]):
        assert run([*command, "-q"]) == 143
        err = capsys.readouterr().err
        assert err.startswith("gentool: interrupted")
        assert err.count("\n") == 1
