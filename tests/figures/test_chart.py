"""Figures: what is drawn where, told by the prepared chart, and files of all three kinds."""

import subprocess
import sys

import pytest
from helpers.records import record

from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.figures import style
from gentool.figures.chart import chart, draw
from gentool.figures.save import write
from gentool.records.measure_file import write as write_record


def runs(values, labels="true", seed=0):
    """A record a training-set size: {size: l2}."""
    return [
        record(
            sha256=f"{labels}{size}{seed}",
            recipe={"subset": size, "labels": labels, "seed": seed},
            l2=value,
        )
        for size, value in values.items()
    ]


def lines(prepared, panel=0):
    return {line.label: (line.x, line.centre) for line in prepared.panels[panel].lines}


def test_a_line_for_each_value_of_by_in_the_order_of_noise():
    records = runs({10: 5.0}, "random") + runs({10: 2.0}, 0.5) + runs({20: 3.0, 10: 1.0}, "true")
    prepared = chart(records, "recipe.subset", ["l2"], "recipe.labels")
    assert list(lines(prepared)) == ["true", "0.5", "random"]
    assert lines(prepared)["true"] == ([10, 20], [1.0, 3.0])


def test_values_that_span_decades_are_drawn_as_logarithms():
    prepared = chart(runs({10: 1.0, 20: 1e6}), "recipe.subset", ["l2"])
    assert prepared.panels[0].is_log
    assert lines(prepared)[""] == ([10, 20], [0.0, 6.0])
    assert not chart(runs({10: 1.0, 20: 2.0}), "recipe.subset", ["l2"]).panels[0].is_log


def test_values_too_large_for_a_float_are_drawn_too():
    """Null as a number, 400 as log10."""
    records = runs({10: 1.0, 20: None})
    records[1]["log10"]["l2"] = 400.0
    prepared = chart(records, "recipe.subset", ["l2"])
    assert lines(prepared)[""] == ([10, 20], [0.0, 400.0])
    assert prepared.warnings == []


def test_seeds_are_averaged_and_their_spread_is_shown():
    """Logarithms 1 and 3: centre 2, from 1 to 3."""
    records = runs({10: 10.0}, seed=0) + runs({10: 1000.0}, seed=1)
    [line] = chart(records, "recipe.subset", ["l2"]).panels[0].lines
    assert (line.centre, line.low, line.high) == ([2.0], [1.0], [3.0])
    assert chart(records, "recipe.subset", ["l2"]).is_averaged
    assert not chart(records[:1], "recipe.subset", ["l2"]).is_averaged


def test_a_missing_value_is_no_average():
    """Two sizes, one without a value: each point drawn is one run."""
    assert not chart(runs({10: 1.0, 20: None}), "recipe.subset", ["l2"]).is_averaged


def test_every_measure_has_words_for_its_axis():
    from gentool.measures import MEASURES

    for measure in MEASURES:
        assert "_" not in style.words(measure.name), measure.name


def test_a_missing_value_is_left_out_and_said_with_its_reason():
    records = runs({10: 1.0, 20: None})
    records[1]["notes"] = ["l2: the margin gamma = -1 is not positive"]
    prepared = chart(records, "recipe.subset", ["l2"])
    assert lines(prepared)[""] == ([10], [1.0])
    assert prepared.warnings == ["1 of 2 files have no l2 (the margin gamma = -1 is not positive)"]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(GentoolError, match="nothing to draw: 1 of 1 files have no l2"):
        chart(runs({10: None}), "recipe.subset", ["l2"])


def test_words_on_the_x_axis_become_categories():
    records = runs({10: 5.0}, "random") + runs({10: 1.0}, "true")
    prepared = chart(records, "recipe.labels", ["l2"])
    assert prepared.categories == ["true", "random"]
    assert sorted(x for line in prepared.panels[0].lines for x in line.x) == [0, 1]


def test_without_options_what_varies_is_chosen():
    records = runs({10: 5.0, 20: 6.0}, "random") + runs({10: 1.0, 20: 2.0}, "true")
    prepared = chart(records)
    assert (prepared.x, prepared.by) == ("recipe.subset", "recipe.labels")
    assert [panel.y for panel in prepared.panels] == ["l2"]


def test_an_unknown_key_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown key 'l3' \(did you mean 'l2'\?\)"):
        chart(runs({10: 1.0}), "recipe.subset", ["l3"])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("recipe.subset", "training-set size"),
        ("l2", "ℓ2 norm capacity"),
        (
            "l2_bound_unnormalized",
            "ℓ2 norm capacity (with the bound's constants, without the margin)",
        ),
        ("recipe.unheard_of", "recipe.unheard_of"),
    ],
)
def test_axes_are_labelled_in_words(key, words):
    assert style.words(key) == words


def test_true_and_random_look_the_same_in_every_figure():
    """And no two lines of one figure look alike."""
    assert style.looks(["true", "random"])[1] == style.looks(["random"])[0]
    looks = style.looks(["true", "0.3", "0.5", "random"])
    assert len({(look["color"], look["marker"]) for look in looks}) == 4


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_a_figure_is_written_in_three_formats_the_same_bytes_each_time(tmp_path, suffix, magic):
    path = tmp_path / f"a.{suffix}"
    contents = []
    for _ in range(2):
        write(draw(chart(runs({10: 1.0, 20: 1e6}), "recipe.subset", ["l2"])), path)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(magic)


def test_a_format_that_is_none_is_wrongly_asked(tmp_path, capsys):
    write_record(tmp_path / "a.json", record(l2=1.0))
    assert run(["plot", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.gif")]) == 2
    assert ".png, .pdf or .svg" in capsys.readouterr().err


def test_plot_does_not_import_torch(tmp_path):
    for i, one in enumerate(runs({10: 1.0, 20: 2.0})):
        write_record(tmp_path / f"{i}.json", one)
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    files = [str(tmp_path / "0.json"), str(tmp_path / "1.json"), "-o", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-c", code, "plot", *files], capture_output=True)
    assert done.returncode == 0, done.stderr
