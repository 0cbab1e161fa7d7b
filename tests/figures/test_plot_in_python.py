"""`gentool.plot`: from records in memory and from files, into own axes, shown by notebooks."""

import json
import warnings

import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from torch import nn

import gentool
from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError

IMAGES = torch.randn(60, 1, 1, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def records():
    """Linear networks that fit 20, 40 and 60 images, with labels said to be true and random."""
    torch.manual_seed(0)
    made = []
    for labels in ("true", "random"):
        for subset in (20, 40, 60):
            module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
            images = IMAGES[:subset]
            with torch.no_grad():
                fitted = module(images).argmax(1)
            about = {"recipe": {"labels": labels, "seed": 0}, "name": f"{labels}-{subset}"}
            only = "margin,l2,spectral"
            made.append(gentool.measure(module, images=images, labels=fitted, only=only, **about))
    return made


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def files(records, tmp_path):
    for i, record in enumerate(records):
        (tmp_path / f"{i}.measures.json").write_text(json.dumps(record))
    return tmp_path


def lines_of(figure):
    """Return the numbers of every line of all axes."""
    return [
        (line.get_label(), line.get_xdata().tolist(), list(line.get_ydata()))
        for axes in figure.axes
        for line in axes.lines
    ]


def test_records_in_memory_and_in_files_give_one_figure(records, files):
    keys = {"x": "recipe.subset", "y": "l2", "by": "recipe.labels"}
    figure = gentool.plot(records, **keys)
    assert isinstance(figure, Figure)
    for given in (files, [str(path) for path in sorted(files.iterdir())], iter(records)):
        assert lines_of(gentool.plot(given, **keys)) == lines_of(figure)
    [colours] = {tuple({line.get_color() for line in axes.lines}) for axes in figure.axes}
    assert len(colours) == 2
    assert {line.get_linestyle() for line in figure.axes[0].lines} != {"None"}


def test_it_is_the_figure_of_the_command(files, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    options = ["--x", "recipe.subset", "--y", "l2", "--y", "spectral", "--quiet"]
    assert run(["plot", str(files), *options, "-o", str(out / "a.svg")]) == 0
    figure = gentool.plot(files, "recipe.subset", ["l2", "spectral"])
    from gentool.figures.save import write

    write(figure, out / "b.svg")
    assert (out / "a.svg").read_bytes() == (out / "b.svg").read_bytes()


def test_records_are_not_changed(records):
    before = json.dumps(records)
    gentool.plot(records, y="l2")
    gentool.claims(records, bootstrap=0)
    assert json.dumps(records) == before


def test_one_panel_is_drawn_into_own_axes(records):
    own, (left, right) = pyplot.subplots(1, 2)
    figure = gentool.plot(
        records, "recipe.subset", "l2", "recipe.labels", ax=right, title="cost in $"
    )
    assert figure is own
    assert not left.lines
    expected = gentool.plot(records, "recipe.subset", "l2", "recipe.labels")
    assert lines_of(figure) == lines_of(expected)
    assert right.get_title() == "cost in $"
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["true", "random"]
    own.canvas.draw()


def test_own_axes_keep_the_style_of_their_user(records):
    with pyplot.rc_context({"font.size": 20.0, "lines.linewidth": 5.0}):
        own, axes = pyplot.subplots()
        gentool.plot(records, "recipe.subset", "l2", "recipe.labels", ax=axes)
        assert axes.xaxis.label.get_size() == 20.0
        own.canvas.draw()
    assert pyplot.rcParams["font.size"] == 10.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"y": ["l2", "spectral"]}, "the figure has 2 panels; leave out ax, or name one y"),
        ({"figure": 1}, "panels; leave out ax"),
        ({"y": "l2", "size": (3, 2)}, "leave out size and style"),
    ],
)
def test_what_has_no_place_in_own_axes_is_refused(records, options, words):
    _, axes = pyplot.subplots()
    with warnings.catch_warnings(action="ignore"), pytest.raises(UsageError, match=words):
        gentool.plot(records, ax=axes, **options)


def test_a_notebook_shows_the_figure_as_png(records):
    figure = gentool.plot(records, y="l2")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []


def test_a_figure_is_saved_with_fonts_that_publishers_take(records, tmp_path):
    gentool.plot(records, y="l2").savefig(tmp_path / "figure.pdf")
    content = (tmp_path / "figure.pdf").read_bytes()
    assert b"/Type3" not in content.replace(b" ", b"")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_figures_of_the_paper_take_networks_of_unknown_data(records, number):
    """Or say in a panel, or in an error, what is missing."""
    with warnings.catch_warnings(action="ignore"):
        try:
            figure = gentool.plot(records[:1] + records[3:4], figure=number)
            said = " ".join(text.get_text() for text in figure.texts)
        except GentoolError as error:
            said = str(error)
    assert "2 networks" in said or f"figure {number} draws" in said


def test_named_figures_take_records_files_and_networks(records, trained):
    margins = gentool.plot(records[:2], figure="margins")
    assert len(margins.axes) >= 2
    net = gentool.load(trained)
    curves = gentool.plot(net, figure="training")
    assert lines_of(curves) == lines_of(gentool.plot(trained, figure="training"))
    shown = gentool.plot(net, figure="samples", seed=1)
    assert isinstance(shown, Figure)


def test_a_network_that_was_not_saved_is_drawn_from_memory():
    recipe = {"model": "mlp", "hidden": 4, "data": "digits", "subset": 20, "epochs": 3}
    net = gentool.train(recipe)
    figure = gentool.plot(net, figure="training")
    assert any(len(x) == 3 for _, x, _ in lines_of(figure))
    with pytest.raises(UsageError, match="of one saved network"):
        gentool.plot(net, figure="samples")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x": "recipe.subsets"}, "unknown key 'recipe.subsets'"),
        ({"figure": "1", "x": "recipe.subset"}, "has its own axes; leave out x, y and by"),
        ({"figure": "7"}, "unknown figure '7'"),
        ({"alpha": 0.1}, "alpha is for named figures"),
        ({"figure": "margins", "alpha": 0.1}, "alpha has no meaning for figure margins"),
        ({"errorbar": "sem"}, "unknown errorbar 'sem'"),
        ({"size": "wide"}, "size is 'wide'"),
        ({"size": (3, "x")}, r"size is \(3, 'x'\)"),
        ({"style": "poster"}, "unknown style of a figure 'poster'"),
        ({"ax": 3}, "ax is a int"),
    ],
)
def test_what_cannot_be_drawn_is_a_usage_error(records, options, words):
    with pytest.raises(UsageError, match=words):
        gentool.plot(records, **{"y": "l2"} | options if "figure" not in options else options)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there are no records"),
        ([3], "record 0 is a int; give records, measure files or folders"),
        ([{}], "record 0 is not a measure file"),
        ("nowhere.json", "nowhere.json"),
    ],
)
def test_what_is_no_record_is_named(given, words):
    for function in (gentool.plot, gentool.claims):
        with pytest.raises(GentoolError, match=words):
            function(given)


def test_a_file_that_cannot_be_read_is_warned_of_and_left_out(files):
    (files / "broken.json").write_text("{")
    with pytest.warns(UserWarning, match=r"broken.json"):
        assert gentool.claims(files, bootstrap=0)["networks"] == 6


def test_claims_are_those_of_the_command(files, capsys):
    assert run(["claims", str(files), "-o", "-", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads(json.dumps(gentool.claims(files))) == {
        key: value for key, value in printed.items() if key not in ("command", "files")
    }


def test_modules_are_averaged_over_a_seed_that_is_said_and_over_nothing_else(records):
    """Two seeds of one recipe are one point; without a seed each network has a line of its own."""
    from gentool.records.averaging import seed_groups

    def labelled(**facts):
        module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        return gentool.measure(module, (1, 1, 4), only="l2_unnormalized", recipe=facts)

    two = [labelled(labels="true", subset=9, seed=seed) for seed in (0, 1)]
    assert [len(group.networks) for group in seed_groups(two)] == [2]
    for other in (
        labelled(labels="random", subset=9, seed=2),
        labelled(labels="true", subset=9, seed=2, lr=0.1),
        labelled(labels="true", subset=9),
        labelled(labels="true", subset=9, seed=1),
    ):
        groups = seed_groups([*two[:2], other])
        assert max(len(group.networks) for group in groups) <= 2
        assert all(other not in group.networks or len(group.networks) == 1 for group in groups)
