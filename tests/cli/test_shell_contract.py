"""Test the shell contract: results on stdout, one line per error on stderr, exit codes, files."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from helpers.foreign_networks import TorchvisionVGG

import gentool as gentool_package
from gentool.cli.main import app, run

DIGITS = ["train", "--model", "mlp", "--data", "digits", "--hidden", "8", "--subset", "50"]


def gentool(*arguments, cwd, **options):
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "gentool", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, **options)


def one_line(text):
    return text.count("\n") == 1 and text.startswith("gentool: ")


def test_the_commands_work_as_one_pipe(tmp_path):
    """train prints a path, measure takes it and prints another, plot draws it."""
    script = (
        f"'{sys.executable}' -m gentool {' '.join(DIGITS)} --lr 0.1"
        f" | xargs '{sys.executable}' -m gentool measure"
        f" | xargs '{sys.executable}' -m gentool plot --x recipe.subset --y l2 -o figure.png"
    )
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "figure.png\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figure.png",
        "mlp-hidden8-digits-true-50-seed0.measures.json",
        "mlp-hidden8-digits-true-50-seed0.safetensors",
    ]


def test_output_dash_prints_json_on_stdout(saved, capsys):
    """`-o -` prints one object a line, and writes no file."""
    assert run(["measure", str(saved), str(saved), "-o", "-", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["checkpoint"]["file"] for line in lines] == ["mlp.safetensors"] * 2
    assert list(saved.parent.iterdir()) == [saved]


def test_quiet_prints_nothing_on_stderr(saved, capsys):
    assert run(["measure", str(saved), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{saved.with_suffix('.measures.json')}\n"
    assert captured.err == ""


def test_the_last_line_tells_whether_the_stop_rule_was_met(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run([*DIGITS, "--epochs", "1", "-o", "a.safetensors"]) == 0
    assert "stop rule NOT met after 1 epoch:" in capsys.readouterr().err.splitlines()[-1]
    assert run([*DIGITS, "--lr", "0.1", "-o", "b.safetensors"]) == 0
    assert "stop rule met after" in capsys.readouterr().err.splitlines()[-1]


def test_must_fit_exits_with_1_and_keeps_the_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run([*DIGITS, "--epochs", "1", "--must-fit", "-o", "a.safetensors"]) == 1
    assert "the stop rule was not met" in capsys.readouterr().err
    assert Path("a.safetensors").exists()


@pytest.mark.parametrize("option", ["--force", "--skip-existing", None])
def test_an_existing_output_is_replaced_kept_or_an_error(tmp_path, monkeypatch, capsys, option):
    """Replaced with --force, kept with --skip-existing, an error without them."""
    monkeypatch.chdir(tmp_path)
    path = Path("a.safetensors")
    path.write_bytes(b"mine")
    code = run([*DIGITS, "--epochs", "1", "-o", "a.safetensors", *([option] if option else [])])
    captured = capsys.readouterr()
    assert code == (1 if option is None else 0)
    assert (path.read_bytes() == b"mine") == (option != "--force")
    assert captured.out == ("" if option is None else "a.safetensors\n")
    if option is None:
        assert one_line(captured.err)


def test_the_same_command_gives_the_same_bytes(tmp_path):
    """In two processes, with dropout and batch norm."""
    for name in "ab":
        options = ["--epochs", 3, "--dropout", 0.5, "--batch-norm", "-o", f"{name}.safetensors"]
        assert gentool(*DIGITS, *options, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


WRONG_USAGE = [
    (["measure"], "name one checkpoint or more"),
    (["trian"], "No such command 'trian'"),
    (["train", "--epoch", "3"], "No such option: --epoch"),
    (["plot", "a.json", "-o", "a.gif"], "its name ends in .png, .pdf or .svg"),
    (["train", "--subset", "many"], "Invalid value for '--subset'"),
    (["train", "--subset", "0"], "subset is 0; it has to be"),
    (["train", "--labels", "maybe"], "--labels is 'maybe'"),
    (["train", "--model", "vgg15"], "unknown model 'vgg15' (did you mean 'vgg1"),
    (["train", "--hidden", "5"], "vgg has no option --hidden"),
    (["train", "--optimizer", "sdg"], "unknown optimizer 'sdg' (did you mean 'sgd'?)"),
    (["train", "--data", "digit"], "unknown data set 'digit' (did you mean 'digits'?)"),
    (["train", "--data", "folder"], "write folder:PATH"),
    (["train", "--data", "digits", "--device", "tpu"], "unknown device 'tpu'"),
    (["train", "--force", "--skip-existing"], "exclude each other"),
    (["train", "--optimizer", "adam", "--momentum", "0.5"], "--momentum is an option of sgd"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG_USAGE)
def test_wrong_usage_exits_with_2(tmp_path, monkeypatch, capsys, arguments, words):
    """One line on stderr, nothing on stdout, no file."""
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert one_line(captured.err)
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


FAILURES = [
    (["measure", "missing.safetensors"], "missing.safetensors does not exist"),
    (["measure", "."], ". is a folder without *.safetensors, *.pt, *.pth"),
    ([*DIGITS, "-o", "missing/a.safetensors"], "missing does not exist"),
    ([*DIGITS[:-1], "5000"], "--subset is 5000, but the training set has 1442 images"),
    ([*DIGITS, "--confusion", "1400"], "the training set has only 1392 images"),
    ([*DIGITS, "--device", "cuda:7"], "no device 'cuda:7'"),
    (["train", "--data", "digits"], "needs images of 32x32 or more, not 8x8"),
    (["train", "--data", "folder:missing"], "missing"),
    (["train", "--data", "npz:missing.npz"], "missing.npz does not exist"),
    (["plot", "missing.json"], "missing.json"),
]


@pytest.mark.parametrize(("arguments", "words"), FAILURES)
def test_a_failure_exits_with_1(tmp_path, monkeypatch, capsys, arguments, words):
    """One line on stderr, nothing on stdout, no file."""
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert one_line(captured.err)
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_names_three_remedies(tmp_path, monkeypatch, capsys):
    """CIFAR-10 is missing and cannot be downloaded: one line with the reason and the remedies."""

    def no_network(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.chdir(tmp_path)
    assert run(["train", "--data-dir", "data"]) == 1
    line = capsys.readouterr().err
    assert one_line(line)
    for words in ("no network here", "data", "--data folder:DIR", "--data digits"):
        assert words in line


def test_changed_training_data_is_an_error(tmp_path, monkeypatch, capsys):
    """One label of the archive is changed between training and measuring."""
    import numpy as np

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (40, 6, 6), dtype=np.uint8), rng.integers(0, 3, 40)
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    arguments = ["train", "--model", "mlp", "--data", "npz:data.npz", "--epochs", "1"]
    assert run([*arguments, "-o", "a.safetensors"]) == 0
    y[0] = (y[0] + 1) % 3
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    capsys.readouterr()
    assert run(["measure", "a.safetensors"]) == 1
    captured = capsys.readouterr()
    assert "the data differs from what the network was trained on" in captured.err
    assert one_line(captured.err)
    assert not Path("a.measures.json").exists()


def test_a_bad_checkpoint_is_reported_and_the_others_are_measured(saved, capsys):
    bad = saved.with_name("bad.safetensors")
    bad.write_bytes(b"no checkpoint")
    assert run(["measure", str(bad), str(saved), "--quiet", "--no-data"]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{saved.with_suffix('.measures.json')}\n"
    assert "bad.safetensors is no whole safetensors file" in captured.err
    assert bad.read_bytes() == b"no checkpoint"


def test_a_full_disk_leaves_no_partial_file(tmp_path):
    """A limit of 10 kB per file stands for the full disk: exit code 1, one line, no file."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # noqa: E731
    options = ["--hidden", "512", "--epochs", "1", "--quiet"]
    done = gentool(*DIGITS, *options, cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def start_long_training(tmp_path, *options):
    """Start a training of many epochs, and wait until its first state is on the disk."""
    arguments = [
        *DIGITS,
        "--epochs",
        "100000",
        "--stop-loss",
        "1e-30",
        "--patience",
        "0",
        "-o",
        "a.safetensors",
        *options,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "gentool", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    state = tmp_path / "a.safetensors.state"
    deadline = time.monotonic() + 300
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, state


def test_ctrl_c_keeps_the_state_and_prints_the_command_to_resume(tmp_path):
    process, state = start_long_training(tmp_path)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert one_line(stderr)
    assert re.search(r"continue with: gentool train .* -o a\.safetensors --resume", stderr)
    assert list(tmp_path.iterdir()) == [state]


def test_a_killed_run_leaves_no_checkpoint_and_resumes(tmp_path):
    """After kill -9 only the last whole state exists; it is overwritten with --resume only."""
    process, state = start_long_training(tmp_path)
    process.kill()
    process.communicate(timeout=300)
    assert not (tmp_path / "a.safetensors").exists()
    refused = gentool(*DIGITS, "-o", "a.safetensors", cwd=tmp_path)
    assert refused.returncode == 1
    assert "--resume" in refused.stderr
    assert state.exists()
    process, _ = start_long_training(tmp_path, "--resume")
    assert "continuing from a.safetensors.state" in process.stderr.readline()
    process.kill()
    process.communicate(timeout=300)


def shell(script, cwd):
    """Run a shell script that finds this gentool and this Python on its path."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["sh", "-ec", script]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def example_of(command, capsys):
    """The shell commands at the end of the help of a command."""
    assert run([*command.split(), "--help"]) == 0
    help_text = capsys.readouterr().out
    return re.search(r"Example: *\n((?:   .*\S.*\n)+)", help_text).group(1)


def test_the_examples_of_the_help_texts_run(tmp_path, capsys):
    """In an order in which each example finds the files that the ones before it wrote."""
    for command in ("", "train", "measure", "sharpness", "plot", "table"):
        done = shell(example_of(command, capsys), tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / done.stdout.split()[-1]).exists()
    torch.save(TorchvisionVGG("vgg16").state_dict(), tmp_path / "vgg16.pth")
    done = shell(example_of("convert", capsys), tmp_path)
    assert (done.stdout, done.returncode) == ("vgg16.safetensors\n", 0)
    for command in ("inspect", "claims"):
        assert json.loads(shell(example_of(command, capsys), tmp_path).stdout)
    network = "mlp-digits-random-500-seed0.safetensors"
    options = "--save-perturbation worst.safetensors --restarts 1 --steps 1 --force --quiet"
    assert shell(f"gentool sharpness {network} {options}", tmp_path).returncode == 0
    done = shell(example_of("sharpness verify", capsys), tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_every_command_has_an_example(capsys):
    for command in app.registered_commands:
        assert "gentool" in example_of(command.name or command.callback.__name__, capsys)


def test_the_example_in_the_docstring_of_the_package_runs(capsys):
    """It prints a measure, without a command line."""
    example = re.search(r"((?:^    .*\n|^\n)+)\Z", gentool_package.__doc__, re.MULTILINE).group(1)
    exec(textwrap.dedent(example), {})
    assert float(capsys.readouterr().out) > 0


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["sharpness", "--help"], ["plot", "--help"], ["--version"]],
)
def test_help_does_not_import_torch(arguments):
    """Nor matplotlib, scikit-learn or NumPy: --help is quick."""
    code = (
        "import sys; from gentool.cli.main import run; run(sys.argv[1:]); "
        "sys.exit(bool({'torch', 'matplotlib', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_threads_busy_wait_briefly_unless_the_user_decides(environment, expected, monkeypatch):
    """When other programs need the cores, busy-waiting makes small networks many times slower."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = (
        "import os, sys; from gentool.cli.main import main; sys.argv[1:] = ['--version']\n"
        "try: main()\n"
        "except SystemExit: print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{expected} False"


def test_debug_raises_the_error_with_its_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="does not exist"):
        run(["measure", "missing.safetensors", "--debug"])


def test_list_names_every_measure_with_formula_and_source(capsys):
    from gentool.measures import MEASURES

    assert run(["measure", "--list"]) == 0
    listed = capsys.readouterr().out
    for measure in MEASURES:
        assert f"{measure.name}\n    {measure.formula}" in listed
        assert measure.source in listed


@pytest.mark.parametrize(("seeds", "ending"), [("3", " --resume"), ("3,4", "")])
def test_the_command_to_resume_repeats_the_arguments_of_run(
    seeds, ending, tmp_path, monkeypatch, capsys
):
    """Not those of the process, which may be another program; --force is left out."""

    def interrupted(batch, settings, callbacks):
        batch[0].state_path.touch()
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gentool.training.jobs.train_planned_runs", interrupted)
    monkeypatch.setattr("sys.argv", ["another", "--resume"])
    assert run([*DIGITS, "--force", "--seed", seeds, "--quiet"]) == 130
    command = f"continue with: gentool {' '.join(DIGITS)} --seed {seeds} --quiet{ending}\n"
    assert capsys.readouterr().err.endswith(command)
