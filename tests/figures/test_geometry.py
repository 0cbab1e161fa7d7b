"""Geometry: whatever is drawn, no text lies on another and all is on the canvas."""

import random
import warnings
from itertools import combinations

import pytest
from helpers.figure_text import check_bars, check_legends, check_text
from helpers.records import record

from gentool.common.errors import GentoolError, UsageError
from gentool.figures import draw, page, style
from gentool.figures.chart import chart
from gentool.figures.save import write
from gentool.figures.sheet import Axis, Curve, Layout, Panel, Sheet

LONG = "vgg-width0.25-cifar10-jpeg-true-2000-confusion1000-lr0.06-batch256-seed0.safetensors"


def lines(count, names=None, sizes=(500, 1000, 2000, 4000), seeds=3, decades=6.0):
    """Return records of networks with some values of recipe.optimizer, which the legend names."""
    values = random.Random(count)
    return [
        record(
            sha256=f"{name} {size} {seed}",
            recipe={"subset": size, "labels": "true", "optimizer": name, "seed": seed},
            l2=10 ** values.uniform(0, decades),
            spectral=10 ** values.uniform(0, decades / 10),
        )
        for name in names or [f"line {i}" for i in range(count)]
        for size in sizes
        for seed in range(seeds)
    ]


def check(drawn):
    check_text(drawn)
    check_bars(drawn)
    return check_legends(drawn)


def drawn(records, x="recipe.subset", title=None, on=page.SCREEN):
    return draw(chart(records, x, ["l2", "spectral"], "recipe.optimizer"), title, on)


@pytest.mark.parametrize("count", range(1, 15))
def test_all_is_inside_with_one_line_to_fourteen(count):
    figure = drawn(lines(count), title="A title")
    assert check(figure) == 1
    legend = figure.legends[0]
    assert len(legend.get_texts()) == count


@pytest.mark.parametrize("count", [1, 2, 7, 14])
def test_all_is_inside_with_long_names(count):
    """Beside the panels where they are many; every name is there as a whole."""
    names = [f"{i}-{LONG}" for i in range(count)]
    figure = drawn(lines(count, names, seeds=1), title=f"{LONG} " * 3)
    assert check(figure) == 1
    shown = ["".join(text.get_text().split()) for text in figure.legends[0].get_texts()]
    assert sorted(shown) == sorted(names)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_value_of_x_is_a_dot_plot_with_a_row_for_each_line(count):
    """No axis around the one size: the rows have the names of the lines, which need no legend."""
    figure = drawn(lines(count, sizes=(1000,)), title="A title")
    assert check(figure) == 0
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"line {i}" for i in range(count)]
    assert "1K" in figure.axes[0].get_xlabel()
    top, bottom = (figure.axes[0].transData.transform((1, row))[1] for row in (0, count - 1))
    assert top >= bottom


@pytest.mark.parametrize("count", [2, 11, 40])
def test_names_on_the_x_axis_that_do_not_fit_below_it_have_a_row_each(count):
    records = lines(count, [f"{i}-{LONG}" for i in range(count)], sizes=(1000,))
    figure = draw(chart(records, "recipe.optimizer", ["l2", "spectral"]), "A title")
    check(figure)
    shown = [t.get_text().replace("\n", "") for t in figure.axes[0].get_yticklabels()]
    assert len([name for name in shown if name]) == count
    for axes in figure.axes:
        assert axes.get_window_extent().width > figure.bbox.width / 6


def test_short_words_on_the_x_axis_stand_below_it_without_a_line():
    records = lines(3, ["adam", "sgd", "lbfgs"], sizes=(1000,))
    figure = draw(chart(records, "recipe.optimizer", ["l2"]), None)
    check(figure)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["adam", "lbfgs", "sgd"]
    assert {line.get_linestyle() for line in figure.axes[0].lines} == {"None"}


@pytest.mark.parametrize("decades", [0.2, 0.5, 1.46, 3, 40, 250])
def test_all_is_inside_however_many_decades_the_values_span(decades):
    check(drawn(lines(3, decades=decades)))


@pytest.mark.parametrize("sizes", [(512, 1024), (2**i for i in range(14)), range(100, 2000, 50)])
def test_labels_of_the_ticks_do_not_run_together(sizes):
    figure = drawn(lines(2, sizes=tuple(sizes), seeds=1))
    check(figure)
    texts = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert not any("1.02K" in text for text in texts)
    assert len(list(filter(None, texts))) >= 2


@pytest.mark.parametrize("name", page.STYLES)
@pytest.mark.parametrize("count", [2, 9])
def test_all_is_inside_in_each_style(name, count):
    check(drawn(lines(count), title="A title", on=page.parse_page(name, None)))


@pytest.mark.parametrize("size", ["7x3", "170x80mm", "5x6", "17x9cm"])
def test_a_figure_has_the_size_that_is_asked_for_and_all_is_inside(size):
    asked = page.parse_page("paper", size)
    figure = drawn(lines(6), title="A title", on=asked)
    check(figure)
    assert figure.get_size_inches() == pytest.approx(asked.size)


def test_a_size_without_room_for_the_panels_is_an_error():
    asked = page.parse_page("screen", "1x0.8")
    with pytest.raises(GentoolError, match=r"no room for its panels.*--size"):
        drawn(lines(6), title="A title", on=asked)


@pytest.mark.parametrize("size", ["3", "3x", "0x3", "3x400", "-1x2", "3x2pt", "nanx3", "1e9x2"])
def test_a_size_that_is_none_is_an_error(size):
    with pytest.raises(UsageError, match="it has to be a width and a height"):
        page.parse_page("screen", size)
    with pytest.raises(UsageError, match=r"known: screen, paper, talk|known: .*paper"):
        page.parse_page("poster", None)


def test_fourteen_looks_differ():
    """In colour or dash, and the first twelve in their markers too."""
    labels = ["true", "random", *map(str, range(12))]
    looks = style.looks(labels)
    assert looks[:2] == [(style.BLUE, "o"), (style.VERMILION, "s")]
    dashes = style.dashes(labels)
    assert len({(colour, dash) for (colour, _), dash in zip(looks, dashes, strict=True)}) == 14
    assert len({marker for _, marker in looks}) == 14
    assert not {style.BLUE, style.VERMILION} & {colour for colour, _ in looks[2:]}
    many = [str(i) for i in range(40)]
    assert len({*zip(style.looks(many), style.dashes(many), strict=True)}) == 40


def test_names_and_titles_are_drawn_as_they_are_without_a_warning(tmp_path):
    """A pair of dollars is no formula; letters that the font lacks are no warning, nor control."""
    foreign = "\N{PILE OF POO}\N{CJK UNIFIED IDEOGRAPH-4E2D}.pt"
    names = ["a$x^2$b", foreign, "a\nb\t\udc80", "\\frac_%"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn(lines(4, names, seeds=1), title="$\\frac{$ & 5 $")
        for suffix in ("png", "pdf", "svg"):
            write(figure, tmp_path / f"a.{suffix}")
    with page.settings():
        check(figure)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "a$x^2$b" in texts
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())
    svg = (tmp_path / "a.svg").read_text("utf-8")
    assert ">a$x^2$b</text>" in svg


def test_a_pdf_has_fonts_that_publishers_take_and_an_svg_has_text(tmp_path):
    figure = drawn(lines(2))
    for suffix in ("pdf", "svg"):
        write(figure, tmp_path / f"a.{suffix}")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Subtype /CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert "training-set size</text>" in (tmp_path / "a.svg").read_text("utf-8")


def test_an_outcome_or_a_measure_on_the_x_axis_is_a_scatter():
    """Points without lines."""
    figure = drawn(lines(2), x="spectral")
    check(figure)
    points = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert {line.get_linestyle() for line in points} == {"None"}
    joined = drawn(lines(2))
    assert "-" in {line.get_linestyle() for line in joined.axes[0].lines}


def test_points_of_several_lines_at_one_size_stand_beside_each_other():
    curves = [Curve(str(i), (1.0, 2.0), (1.0, 1.0), "black", "o") for i in range(3)]
    sheet = Sheet([Panel("", Axis("x", at_values=True), Axis("y"), curves)], "", layout=Layout())
    axes = draw(sheet).axes[0]
    places = [line.get_transform().transform(line.get_xydata())[0] for line in axes.lines]
    for (x, y), (other_x, other_y) in combinations(places, 2):
        assert abs(x - other_x) >= 2
        assert y == other_y
