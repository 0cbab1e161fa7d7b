"""The README is true: its commands run, its tables are those of the registries."""

import json
import re
import shlex
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from gentool.claims import CLAIMS
from gentool.cli.main import run
from gentool.measures import MEASURES
from gentool.sharpness.definitions import definitions

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *ROOT.glob("gentool/*/README.md"), *ROOT.glob("examples/**/*.md")]


def section(title):
    """Return the text below a heading, up to the next heading."""
    return re.split(r"\n#+ ", README.split(f"# {title}\n", 1)[1], maxsplit=1)[0]


def commands(text):
    """Return the gentool commands in the sh blocks of a text, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("gentool ")]


def test_the_scripts_of_the_two_first_commands_exist():
    for script in ("examples/quickstart.sh", "tests/run.sh"):
        assert f"sh {script}\n" in README
        subprocess.run(["sh", "-n", ROOT / script], check=True)


def test_the_commands_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    """As written, in an empty folder: train, measure, search, sample, plot, judge."""
    monkeypatch.chdir(tmp_path)
    for title in ("Train", "Measure", "Sharpness", "Plot", "Tables", "Claims"):
        for arguments in commands(section(title)):
            files = [str(f) for a in arguments for f in (Path().glob(a) if "*" in a else [a])]
            assert run(files) == 0, (arguments, capsys.readouterr().err)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_commands_on_a_foreign_checkpoint_run(tmp_path, monkeypatch, capsys):
    """On a thin VGG-16 of torchvision's; the command that needs CIFAR-10 stops at the download."""
    import torch
    from torch import nn
    from torchvision.models import vgg

    def no_network(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENTOOL_DATA", str(tmp_path / "data"))
    plan = [c if c == "M" else c // 16 for c in vgg.cfgs["D"]]
    model = vgg.VGG(vgg.make_layers(plan))
    model.classifier = nn.Sequential(
        nn.Linear(32 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 1000)
    )
    torch.save(model.state_dict(), "vgg16.pth")
    for arguments in commands(section("Checkpoints that other programs saved")):
        code = run(arguments)
        error = capsys.readouterr().err
        if "--data" in arguments:
            assert code == 1, error
            assert "CIFAR10 is not in" in error
            continue
        assert code == 0, (arguments, error)


def test_the_python_examples_run(tmp_path):
    blocks = re.findall(r"```python\n(import gentool.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
        assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def row(measure):
    return (
        f"| `{measure.name}` | {measure.formula.replace('|', '&#124;')} | {measure.source[:-1]} |"
    )


@pytest.mark.parametrize("measure", list(MEASURES), ids=lambda measure: measure.name)
def test_every_measure_has_its_row(measure):
    """Name, formula and source as in the registry; suffixes are explained below the table."""
    if measure.name.endswith(("_unnormalized", "_maxpool", "_jiang2020")):
        assert f"`_{measure.name.rsplit('_', 1)[1]}`" in section("Measure")
    else:
        assert row(measure) in README


def test_the_table_of_sharpness_agrees_with_the_definitions():
    """Row for row, in order; only the last column is written by hand."""
    rows = [line for line in section("Sharpness").splitlines() if line.startswith("| `")]
    assert [f"{line.rsplit(' |', 2)[0]} |" for line in rows] == [
        row(definition) for definition in definitions()
    ]


@pytest.mark.parametrize("claim", list(CLAIMS), ids=lambda claim: claim.id)
def test_every_claim_has_its_row(claim):
    """Statement, rule and figure as in the docstring."""
    source = claim.source.removesuffix(".")
    assert f"| {claim.id} | {claim.statement} | {claim.rule} | {source} |" in section("Claims")


def test_every_field_of_a_measure_file_is_described():
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    fields = section("The files")
    for name in (*schema["required"], *schema["properties"]["layers"]["items"]["required"]):
        assert f"`{name}`" in fields, name


def test_the_help_of_every_command_stands_in_the_table(capsys):
    from gentool.cli.main import app

    for command in app.registered_commands:
        if command.hidden:  # an earlier name of another command
            continue
        name = command.name or command.callback.__name__
        assert f"`gentool {name}`" in section("The commands")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_of_a_page_is_broken(page):
    """The files exist, and so do the headings after a #."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text("utf-8")), target


def anchors(text):
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
