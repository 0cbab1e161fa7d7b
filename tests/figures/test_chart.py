"""Charts: which values are drawn where, and figure files in three formats."""

import math
import subprocess
import sys

import pytest
from helpers.records import record

from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.figures import draw, style
from gentool.figures.chart import chart
from gentool.figures.save import write
from gentool.records.measure_file import write as write_record


def runs(values, labels="true", seed=0):
    """Return a record for each training-set size: {size: l2}."""
    return [
        record(
            sha256=f"{labels}{size}{seed}",
            recipe={"subset": size, "labels": labels, "seed": seed},
            l2=value,
        )
        for size, value in values.items()
    ]


def curves(sheet, panel=0):
    return {curve.label: (list(curve.x), list(curve.y)) for curve in sheet.panels[panel].curves}


def test_each_value_of_by_has_a_curve_and_curves_are_in_the_order_of_noise():
    records = runs({10: 5.0}, "random") + runs({10: 2.0}, 0.5) + runs({20: 3.0, 10: 1.0}, "true")
    sheet = chart(records, "recipe.subset", ["l2"], "recipe.labels")
    assert list(curves(sheet)) == ["true", "0.5", "random"]
    assert curves(sheet)["true"] == ([10, 20], [1.0, 3.0])


def test_values_that_span_decades_are_drawn_as_logarithms():
    sheet = chart(runs({10: 1.0, 20: 1e6}), "recipe.subset", ["l2"])
    assert sheet.panels[0].y.scale == "log10"
    assert curves(sheet)[""] == ([10, 20], [0.0, 6.0])
    plain = chart(runs({10: 1.0, 20: 2.0}), "recipe.subset", ["l2"])
    assert plain.panels[0].y.scale == "linear"


def test_values_too_large_for_a_float_are_drawn_too():
    """Null as a number, 400 as log10."""
    records = runs({10: 1.0, 20: None})
    records[1]["log10"]["l2"] = 400.0
    sheet = chart(records, "recipe.subset", ["l2"])
    assert curves(sheet)[""] == ([10, 20], [0.0, 400.0])
    assert sheet.notes == []


def test_seeds_are_averaged_and_their_spread_is_shown():
    """Logarithms 1 and 3: centre 2, from 1 to 3."""
    records = runs({10: 10.0}, seed=0) + runs({10: 1000.0}, seed=1)
    sheet = chart(records, "recipe.subset", ["l2"])
    [curve] = sheet.panels[0].curves
    assert (curve.y, curve.low, curve.high) == ((2.0,), (1.0,), (3.0,))
    assert sheet.caption == "mean over runs with the same x; bars from lowest to highest"
    assert not is_averaged(chart(records[:1], "recipe.subset", ["l2"]))


def test_equal_values_of_several_seeds_are_drawn():
    """In floating point the mean of three times 0.1 is above 0.1: no bar is shorter than 0."""
    records = [run for seed in range(3) for run in runs({10: 0.1}, seed=seed)]
    sheet = chart(records, "recipe.subset", ["l2"])
    assert sheet.panels[0].curves[0].y[0] > sheet.panels[0].curves[0].high[0]
    assert draw(sheet).axes[0].containers


def is_averaged(sheet):
    """Return whether curves have bars; the caption explains them if they do."""
    has_bars = any(curve.has_bars for panel in sheet.panels for curve in panel.curves)
    assert has_bars == bool(sheet.caption)
    return has_bars


def test_a_missing_value_does_not_make_an_average():
    """Two sizes, one without a value: each point drawn is one run."""
    assert not is_averaged(chart(runs({10: 1.0, 20: None}), "recipe.subset", ["l2"]))


def test_every_measure_has_words_for_its_axis():
    from gentool.measures import MEASURES

    for measure in MEASURES:
        assert "_" not in style.words(measure.name), measure.name


def test_a_missing_value_is_left_out_and_a_note_gives_the_reason():
    records = runs({10: 1.0, 20: None})
    records[1]["notes"] = ["l2: the margin gamma = -1 is not positive"]
    sheet = chart(records, "recipe.subset", ["l2"])
    assert curves(sheet)[""] == ([10], [1.0])
    assert sheet.notes == ["1 of 2 files have no l2 (the margin gamma = -1 is not positive)"]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(GentoolError, match="nothing to draw: 1 of 1 files have no l2"):
        chart(runs({10: None}), "recipe.subset", ["l2"])


def test_words_on_the_x_axis_become_categories():
    records = runs({10: 5.0}, "random") + runs({10: 1.0}, "true")
    sheet = chart(records, "recipe.labels", ["l2"])
    [panel] = sheet.panels
    assert (panel.x.ticks, panel.x.tick_labels) == ((0, 1), ("true", "random"))
    assert sorted(x for curve in panel.curves for x in curve.x) == [0, 1]


def test_without_options_the_key_that_varies_is_on_the_x_axis_and_labels_make_curves():
    records = runs({10: 5.0, 20: 6.0}, "random") + runs({10: 1.0, 20: 2.0}, "true")
    sheet = chart(records)
    [panel] = sheet.panels
    assert panel.x.label == style.words("recipe.subset")
    assert panel.y.label == style.words("l2")
    assert sheet.legend_title == style.words("recipe.labels")


def test_sizes_that_differ_by_four_times_or_more_are_on_a_logarithmic_axis():
    """Its ticks are at the values, in plain numbers; two that lie too near share one."""
    sheet = chart(runs({100: 1.0, 101: 1.0, 1000: 2.0}), "recipe.subset", ["l2"])
    axis = sheet.panels[0].x
    assert axis.tick_labels == ("100", "1K")
    assert axis.ticks == pytest.approx((2, 3))
    assert curves(sheet)[""][0] == pytest.approx([2, math.log10(101), 3])


def test_a_measure_that_no_record_has_leaves_an_empty_panel_that_says_so():
    records = runs({10: 1.0})
    records[0]["measures"]["l1_path"] = None
    sheet = chart(records, "recipe.subset", ["l2", "l1_path"])
    assert (sheet.panels[1].curves, sheet.panels[1].messages) == ([], ["no values"])
    assert sheet.notes == ["1 of 1 files have no l1_path"]


def test_the_error_of_an_unknown_key_names_the_nearest_key():
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
    """No two curves of one figure look alike."""
    assert style.looks(["true", "random"])[1] == style.looks(["random"])[0]
    assert len(set(style.looks(["true", "0.3", "0.5", "random"]))) == 4


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


def test_an_unknown_format_of_a_figure_is_a_usage_error(tmp_path, capsys):
    write_record(tmp_path / "a.json", record(l2=1.0))
    assert run(["plot", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.gif")]) == 2
    assert ".png, .pdf or .svg" in capsys.readouterr().err


def test_plot_does_not_import_torch(tmp_path):
    for i, measures in enumerate(runs({10: 1.0, 20: 2.0})):
        write_record(tmp_path / f"{i}.json", measures)
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    files = [str(tmp_path / "0.json"), str(tmp_path / "1.json"), "-o", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-c", code, "plot", *files], capture_output=True)
    assert done.returncode == 0, done.stderr
