"""Named figures on the command line, and the text in them."""

import subprocess
import sys

import pytest
from helpers.figure_records import by_confusion, by_size, by_width
from helpers.figure_text import check_text
from helpers.pages import room
from helpers.records import whole

from gentool.cli.main import run
from gentool.figures import FIGURES, draw
from gentool.figures.registry import FigureOptions
from gentool.records.measure_file import write

VGG = {"model": "vgg", "width": 0.25, "depth": None, "hidden": None, "data": "cifar10"}
PAPER = {"1": VGG, "2": VGG, "4": {"data": "mnist"}}  # kinds of networks that the paper has too
RECORDS = {"1": by_size, "2": by_size, "3": by_confusion, "4": by_width}


@pytest.fixture
def files(tmp_path):
    """Return a function that writes records as files and returns their names."""

    def written(records):
        paths = [tmp_path / f"{i}.json" for i in range(len(records))]
        for path, record in zip(paths, records, strict=True):
            write(path, whole(record))
        return [str(path) for path in paths]

    return written


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_the_same_figure_gives_the_same_bytes(tmp_path, files, suffix, magic):
    names = files(by_size(**VGG))
    for name in "ab":
        output = str(tmp_path / f"{name}.{suffix}")
        assert run(["plot", *names, "--figure", "1", "--reference", "-q", "-o", output]) == 0
    contents = [(tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab"]
    assert contents[0] == contents[1]
    assert contents[0].startswith(magic)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("figure", RECORDS)
def test_no_text_lies_on_another(figure, reference):
    """No text is cut off by the edge of the figure."""
    kind = PAPER.get(figure, {}) if reference else {}
    records = RECORDS[figure](curve=figure != "3", **kind)
    drawn = draw(FIGURES[figure].prepare(records, FigureOptions(reference=reference)), "A title")
    check_text(drawn)


def test_missing_measures_are_noted_on_stderr_and_the_path_is_on_stdout(tmp_path, files, capsys):
    names = files(by_size(curve=False))
    assert run(["plot", *names, "--figure", "2", "-o", str(tmp_path / "a.png")]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'a.png'}\n"
    assert printed.err == (
        "gentool: note: no expected sharpness: run gentool sharpness --expected\n"
    )


def test_the_error_of_an_unknown_figure_lists_the_known_figures(files, capsys):
    assert run(["plot", *files(by_size((1,))), "--figure", "5"]) == 2
    known = ", ".join(map(repr, FIGURES.names))
    assert f"'5' is not one of {known}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--figure", "1", "--x", "recipe.subset"], "--x has no meaning for --figure 1"),
        (["--figure", "4", "--device", "cpu"], "--device has no meaning for --figure 4"),
        (["--reference"], "--reference has no meaning for a plot without --figure"),
    ],
)
def test_an_option_that_a_figure_does_not_use_is_refused(files, capsys, options, error):
    assert run(["plot", *files(by_size((1,))), *options]) == 2
    assert error in capsys.readouterr().err


def test_a_figure_that_exists_is_kept_unless_forced(tmp_path, files, capsys):
    names, output = files(by_size()), tmp_path / "a.png"
    output.write_text("mine")
    arguments = ["plot", *names, "--figure", "1", "-o", str(output)]
    assert run(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert run([*arguments, "--skip-existing"]) == 0
    assert output.read_text() == "mine"
    assert run([*arguments, "--force"]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


def test_figures_of_the_paper_do_not_import_torch(tmp_path, files):
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    arguments = ["plot", *files(by_width()), "--figure", "4", "-o", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("entry", list(FIGURES), ids=lambda entry: entry.name)
def test_every_figure_stands_on_the_page(entry):
    assert f"`--figure {entry.name}`" in room("figures")
