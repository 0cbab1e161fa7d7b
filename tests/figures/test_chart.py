"""Charts: which values are drawn where, and figure files in three formats."""

import csv
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from helpers.records import record, whole

from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.figures import draw, style
from gentool.figures.chart import chart
from gentool.figures.save import write
from gentool.records.measure_file import merge, read
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


def test_two_seeds_are_averaged_and_drawn_as_points():
    """Logarithms 1 and 3: centre 2, a point at each; the lowest to the highest if asked for."""
    records = runs({10: 10.0}, seed=0) + runs({10: 1000.0}, seed=1)
    sheet = chart(records, "recipe.subset", ["l2"])
    [curve] = sheet.panels[0].curves
    assert (curve.y, curve.low, curve.runs) == ((2.0,), None, ((10.0, 1.0), (10.0, 3.0)))
    assert sheet.caption == (
        "mean over seeds (n = 2, of logarithms on logarithmic axes); "
        "small points: each run, where n is below 3"
    )
    sheet = chart(records, "recipe.subset", ["l2"], errorbar="minmax")
    [curve] = sheet.panels[0].curves
    assert (curve.low, curve.high, curve.runs) == ((1.0,), (3.0,), ())
    assert sheet.caption.endswith("bars: lowest to highest")
    assert chart(records[:1], "recipe.subset", ["l2"]).caption == ""


@pytest.mark.parametrize(
    ("errorbar", "half"),
    [(None, 1.0), ("sd", 1.0), ("se", 3**-0.5), ("ci95", 4.302652729911275 * 3**-0.5)],
)
def test_three_seeds_have_a_bar(errorbar, half):
    """1, 2 and 3: mean 2, standard deviation 1; a fourth run at 20 is a run alone."""
    records = [run for seed in range(3) for run in runs({10: 1.0 + seed}, seed=seed)]
    sheet = chart(records + runs({20: 2.0}), "recipe.subset", ["l2"], errorbar=errorbar)
    [curve] = sheet.panels[0].curves
    assert (curve.y, curve.counts, curve.runs) == ((2.0, 2.0), (3, 1), ())
    assert (curve.low[0], curve.high[0]) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert (curve.low[1], curve.high[1]) == (2.0, 2.0)
    assert "n = 1 to 3" in sheet.caption


def test_no_bars_are_drawn_if_none_are_asked_for():
    records = [run for seed in range(3) for run in runs({10: 1.0 + seed}, seed=seed)]
    [curve] = chart(records, "recipe.subset", ["l2"], errorbar="none").panels[0].curves
    assert (curve.y, curve.has_bars, curve.runs) == ((2.0,), False, ())


def test_equal_values_of_several_seeds_are_drawn():
    """In floating point the mean of three times 0.1 is above 0.1: no bar is shorter than 0."""
    records = [run for seed in range(3) for run in runs({10: 0.1}, seed=seed)]
    sheet = chart(records, "recipe.subset", ["l2"], errorbar="minmax")
    assert sheet.panels[0].curves[0].y[0] > sheet.panels[0].curves[0].high[0]
    assert len(draw(sheet).axes[0].lines) == 1


def is_averaged(sheet):
    """Return whether a point is of several runs; the caption says so if one is."""
    counts = {n for panel in sheet.panels for curve in panel.curves for n in curve.counts}
    assert (counts > {1}) == ("mean over seeds" in sheet.caption)
    return counts != {1}


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
    """Its ticks are at the values, in plain numbers; of two that lie too near one has a label."""
    sheet = chart(runs({100: 1.0, 101: 1.0, 1024: 2.0}), "recipe.subset", ["l2"])
    assert curves(sheet)[""][0] == [100, 101, 1024]
    [axes] = draw(sheet).axes
    assert axes.get_xscale() == "log"
    assert list(axes.get_xticks()) == [100, 101, 1024]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "", "1024"]


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
        write_record(tmp_path / f"{i}.json", whole(measures))
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    files = [str(tmp_path / "0.json"), str(tmp_path / "1.json"), "-o", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-c", code, "plot", *files], capture_output=True)
    assert done.returncode == 0, done.stderr


def vary(key, *values, **others):
    """Return networks of three seeds at two sizes for each value of a field of the recipe."""
    records = []
    for value in values:
        for seed in range(3):
            for network in runs({10: 1.0 + seed, 20: 2.0 + seed}, seed=seed):
                network["recipe"] |= {key: value} | others
                network["checkpoint"]["sha256"] += f"{key}{value}"
                records.append(network)
    return records


@pytest.mark.parametrize(
    ("key", "values", "labels"),
    [
        ("confusion", (0, 250), ["confusion 0", "confusion 250"]),
        ("hidden", (16, 64), ["hidden 16", "hidden 64"]),
        ("data", ("digits", "mnist"), ["data digits", "data mnist"]),
        ("batch_norm", (False, True), ["no batch norm", "batch norm"]),
        ("patience", (None, 30), ["no patience", "patience 30"]),
        ("a_later_field", (0.5, 1.5), ["a later field 0.5", "a later field 1.5"]),
        ("labels", ("true", "random"), ["true", "random"]),
    ],
)
def test_networks_that_differ_in_anything_but_the_seed_have_a_line_each(key, values, labels):
    """Named by the key; each point is a mean over three seeds."""
    sheet = chart(vary(key, *values), "recipe.subset", ["l2"])
    assert [curve.label for curve in sheet.panels[0].curves] == labels
    assert {curve.counts for curve in sheet.panels[0].curves} == {(3, 3)}
    if key != "labels":
        listed = [", ".join(map(str, order)) for order in (values, values[::-1])]
        assert any(f"recipe.{key} ({words})" in sheet.notes[0] for words in listed)
    assert len(chart(vary(key, *values), f"recipe.{key}", ["l2"]).panels[0].curves) == 2


def test_lines_that_differ_in_many_keys_are_named_by_the_first_that_tell_them_apart():
    records = vary("model", "mlp", lr=0.1, warmup=0, dropout=0.0) + vary(
        "model", "vgg", lr=0.2, warmup=5, dropout=0.5
    )
    sheet = chart(records, "recipe.subset", ["l2"])
    assert [curve.label for curve in sheet.panels[0].curves] == ["model mlp", "model vgg"]
    assert "recipe.lr (0.1, 0.2)" in sheet.notes[0]


def test_other_settings_of_the_measurement_are_lines_of_their_own():
    """ε 0.05 and 0.5; l2 without the margin does not depend on it."""
    records = vary("labels", "true")
    for network in records:
        epsilon = 0.5 if network["recipe"]["subset"] == 20 else 0.05
        network["margin"] = {"epsilon": epsilon}
        network["measures"]["l2_unnormalized"] = network["log10"]["l2_unnormalized"] = 1.0
    sheet = chart(records, "recipe.subset", ["l2", "l2_unnormalized"])
    assert curves(sheet) == {"ε 0.05": ([10], [2.0]), "ε 0.5": ([20], [3.0])}
    assert list(curves(sheet, 1).values()) == [([10, 20], [1.0, 1.0])]
    assert "ε 0.05, ε 0.5" in sheet.caption


def test_a_search_that_was_cut_short_has_an_open_marker_of_its_own():
    """Of three seeds one: the mean is over the other two."""
    records = [run for seed in range(3) for run in runs({10: 1.0}, seed=seed)]
    for seed, network in enumerate(records):
        network["measures"]["sharpness"], network["log10"]["sharpness"] = 1.0 + seed, 0.0
        stopped = "time" if seed == 0 else None
        network["sharpness"] = {"points": [{"alpha": 0.0005, "stopped": stopped}]}
    sheet = chart(records, "recipe.subset", ["sharpness"])
    cut, whole = sheet.panels[0].curves
    assert (cut.is_open, cut.y, cut.counts) == (True, (1.0,), (1,))
    assert (whole.is_open, whole.y, whole.counts) == (False, (2.5,), (2,))
    assert cut.colour == whole.colour
    assert "open markers: the search was cut short" in sheet.caption
    assert "α 0.0005" in sheet.caption
    assert draw(sheet).axes[0].lines[0].get_markerfacecolor() == "white"


def test_settings_that_belong_to_one_measure_do_not_divide_another():
    """ε is a setting of l2 alone, α one of sharpness: one line in each panel, and no note."""
    records = vary("labels", "true")
    for network in records:
        network["margin"] = {"epsilon": 0.05}
        network["measures"]["sharpness"], network["log10"]["sharpness"] = 1.0, 0.0
        network["sharpness"] = {"points": [{"alpha": 0.0005}]}
    sheet = chart(records, "recipe.subset", ["l2", "sharpness"])
    assert [len(panel.curves) for panel in sheet.panels] == [1, 1]
    assert [list(curves(sheet, i)) for i in (0, 1)] == [[""], [""]]
    assert sheet.notes == []


def test_networks_of_other_programs_are_never_averaged():
    """Two of one architecture and size: a line each, named by its file."""
    recipe = {"model": "layers", "subset": 10, "labels": "true", "layers": [{"type": "linear"}]}
    records = [
        record(sha256=name, recipe=recipe, l2=value)
        | {"checkpoint": {"file": name, "sha256": name}}
        for name, value in (("a.pth", 1.0), ("b.pth", 3.0))
    ]
    sheet = chart(records, "recipe.subset", ["l2"])
    assert curves(sheet) == {"a.pth": ([10], [1.0]), "b.pth": ([10], [3.0])}
    assert len(sheet.notes) == 1
    assert "never averaged" in sheet.notes[0]
    sheet = chart(records)
    assert sheet.panels[0].x.tick_labels == ("a.pth", "b.pth")
    assert not is_averaged(sheet)


def test_networks_of_other_programs_at_different_x_are_points_without_a_line():
    """Beside a line of networks whose recipes are known."""
    recipe = {"model": "layers", "labels": "true"}
    records = [record(str(n), recipe=recipe | {"subset": n}, l2=1.0) for n in (10, 20)]
    [curve] = chart(records, "recipe.subset", ["l2"]).panels[0].curves
    assert (curve.label, curve.x, curve.is_scatter) == ("", (10, 20), True)
    drawn = chart(records + runs({10: 1.0, 20: 2.0}), "recipe.subset", ["l2"]).panels[0].curves
    assert {curve.label: curve.is_scatter for curve in drawn} == {
        "network of another program": True,
        "networks of gentool": False,
    }


def test_checkpoints_of_one_training_are_not_averaged():
    """Of one recipe and one seed, at three epochs: a line each, or a point each by their epochs."""
    records = [run for value in (1.0, 2.0, 3.0) for run in runs({10: value})]
    for i, network in enumerate(records):
        network["checkpoint"] = {"file": f"a.epoch{i}.safetensors", "sha256": str(i)}
        network["outcome"] = {"epochs": i}
    assert len(chart(records, "recipe.subset", ["l2"]).panels[0].curves) == 3
    sheet = chart(records, "outcome.epochs", ["l2"])
    assert curves(sheet)[""] == ([0, 1, 2], [1.0, 2.0, 3.0])


def test_against_a_measure_each_network_is_a_point():
    """Two seeds of one gap are two points of it."""
    records = vary("labels", "true", "random")
    for network in records:
        network["outcome"] = {"test_error": 0.5, "train_error": 0.25}
    sheet = chart(records, "gap", ["l2"])
    assert {label: len(x) for label, (x, _) in curves(sheet).items()} == {"true": 6, "random": 6}
    assert not is_averaged(sheet)


def test_lines_are_divided_by_several_keys_and_by_outcomes():
    records = vary("lr", 0.1, 0.2)
    for network in records:
        network["outcome"] = {"epochs": network["recipe"]["seed"] // 2}
    sheet = chart(records, "recipe.subset", ["l2"], "recipe.lr,outcome.epochs")
    assert {curve.label: curve.counts for curve in sheet.panels[0].curves} == {
        "0.1, 0": (2, 2),
        "0.1, 1": (1, 1),
        "0.2, 0": (2, 2),
        "0.2, 1": (1, 1),
    }


def test_records_without_an_x_are_noted():
    records = [*runs({10: 1.0}), record(sha256="b", recipe={"seed": 0}, l2=1.0)]
    assert chart(records, "recipe.subset", ["l2"]).notes == ["1 of 2 files have no recipe.subset"]


def test_an_unknown_errorbar_is_a_usage_error(tmp_path, capsys):
    write_record(tmp_path / "a.json", record(l2=1.0))
    assert run(["plot", str(tmp_path / "a.json"), "--errorbar", "std"]) == 2
    assert "'std' is not one of 'minmax', 'sd', 'se', 'ci95', 'none'" in capsys.readouterr().err


def test_the_means_of_the_results_folder_are_those_of_its_seeds():
    """At 2,000 true labels 7.5e14, from runs.csv; not 1.62e15, the mean over confusion sets."""
    results = Path(__file__).parents[2] / "examples" / "results"
    with (results / "runs.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["folder"] == "small"]
    expected = defaultdict(list)
    for row in rows:
        name = f"{row['labels']}, confusion {row['confusion']}"
        expected[name, float(row["size"])].append(float(row["log10_l2"]))
    records = merge(map(read, sorted((results / "small").glob("*.measures.json"))))
    sheet = chart(records, "recipe.subset", ["l2"])
    drawn = {
        (curve.label, round(x)): (y, n)
        for curve in sheet.panels[0].curves
        for x, y, n in zip(curve.x, curve.y, curve.counts, strict=True)
    }
    assert drawn == {
        key: (pytest.approx(sum(logs) / 3), len(logs)) for key, logs in expected.items()
    }
    assert 10 ** drawn["true, confusion 0", 2000][0] == pytest.approx(7.5e14, rel=0.01)


def by_width(rate, widths=(0.25, 0.5, 1.0)):
    """Return VGGs of several widths, with the learning rate that a function of the width gives."""
    return [
        record(
            sha256=f"{width}{rate(width)}",
            recipe={"model": "vgg", "width": width, "lr": rate(width), "seed": 0},
            l2=width,
        )
        for width in widths
    ]


def test_the_learning_rate_that_a_preset_derives_from_the_width_cuts_no_line():
    sheet = chart(by_width(lambda width: 0.01 / width), "recipe.width", ["l2"])
    [curve] = sheet.panels[0].curves
    assert list(curve.x) == [0.25, 0.5, 1.0]
    assert sheet.notes == ["recipe.lr (0.01, 0.02, 0.04) follows from recipe.width"]


def test_a_learning_rate_of_its_own_is_a_line_of_its_own():
    """At one width the user's rate is the preset's by chance; a constant rate is one line."""
    rates = {0.25: 0.04, 0.5: 0.06, 1.0: 0.01}
    sheet = chart(by_width(rates.get), "recipe.width", ["l2"])
    assert len(sheet.panels[0].curves) == 3
    assert "have lines of their own" in sheet.notes[0]
    [curve] = chart(by_width(lambda width: 0.04), "recipe.width", ["l2"]).panels[0].curves
    assert list(curve.x) == [0.25, 0.5, 1.0]


def test_a_reason_that_networks_share_but_for_its_number_is_said_of_one():
    records = runs({10: 1.0, 20: None, 30: None})
    for network, margin in zip(records[1:], (-0.5, -0.7), strict=True):
        network["notes"] = [f"l2: the margin gamma = {margin} is not positive"]
    [note] = chart(records, "recipe.subset", ["l2"]).notes
    assert (
        note == "2 of 3 files have no l2 (of one of them: the margin gamma = -0.5 is not positive)"
    )
