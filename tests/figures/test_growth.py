"""Figure growth: measures against the falling loss, a line for each training."""

import json
from itertools import permutations, product
from math import log10

import pytest
from helpers.figure_records import kept_at, network
from helpers.figure_text import check_text

from gentool.cli.main import run
from gentool.common.errors import GentoolError
from gentool.figures import FIGURES, draw
from gentool.figures.registry import FigureOptions
from gentool.records.measure_file import merge, read

LOSSES = {0.1: 0.08, 0.01: 0.008, 0.001: 0.0008}


def sheet(records, **options):
    return FIGURES["growth"].prepare(records, FigureOptions(**options))


def curves(prepared, panel=0):
    """Return the points of each line as {loss: log10 of the measure}, from large to small loss."""
    return {
        curve.label: {
            round(10**x, 9): y for x, y in sorted(zip(curve.x, curve.y, strict=True), reverse=True)
        }
        for curve in prepared.panels[panel].curves
    }


def test_measures_are_drawn_against_the_loss_which_falls_to_the_right():
    prepared = sheet(kept_at(LOSSES))
    expected = {loss: pytest.approx(log10(10 / loss)) for loss in LOSSES.values()}
    assert curves(prepared) == {"true labels": expected}
    assert [panel.y.label.split()[0] for panel in prepared.panels] == [
        "ℓ2",
        "ℓ1-path",
        "ℓ2-path",
        "spectral",
    ]
    left, right = draw(prepared).axes[0].get_xlim()
    assert left > 0.08 > 0.0008 > right


def test_path_norms_are_of_the_largest_path_or_sums():
    for path_norms, exponent in (("maxpool", 5), ("sum", 6)):
        prepared = sheet(kept_at(LOSSES), path_norms=path_norms)
        assert set(curves(prepared, 1)["true labels"].values()) == {exponent}


def test_sharpness_has_a_panel_where_a_network_has_one():
    records = kept_at(LOSSES)
    for record in records[1:]:
        record["measures"]["sharpness"], record["log10"]["sharpness"] = 0.5, log10(0.5)
    prepared = sheet(records)
    assert list(curves(prepared, 4)["true labels"]) == [0.008, 0.0008]
    assert prepared.panels[4].messages == ["no sharpness (1 network): run gentool sharpness"]


def test_labels_have_their_colours_and_seeds_are_averaged_with_bars():
    """The mean of the logarithms of losses and of measures at each threshold."""
    records = [
        record
        for labels, (seed, factor) in product(("true", "random"), enumerate((1, 0.25)))
        for record in kept_at(
            {t: loss * factor for t, loss in LOSSES.items()},
            value=10.0 * factor,
            labels=labels,
            seed=seed,
        )
    ]
    prepared = sheet(records)
    true, random = prepared.panels[0].curves
    assert (true.label, true.colour, true.marker) == ("true labels", "#0072b2", "o")
    assert (random.label, random.colour, random.marker) == ("random labels", "#d55e00", "s")
    assert [10**x for x in true.x[::-1]] == pytest.approx([loss / 2 for loss in LOSSES.values()])
    assert len(true.runs) == 6
    words = "mean over seeds (n = 2, of logarithms on logarithmic axes); small points: each run"
    assert words in prepared.caption
    [bars, _] = sheet(records, errorbar="minmax").panels[0].curves
    assert bars.has_bars
    assert "12 networks of 4 trainings" in prepared.caption


def test_other_differences_are_named_and_have_a_marker_each():
    records = [
        record
        for labels, batch_norm in product(("true", "random"), (True, "hidden"))
        for record in kept_at(LOSSES, labels=labels, batch_norm=batch_norm, dropout=0.0)
    ]
    drawn = [(curve.label, curve.marker) for curve in sheet(records).panels[0].curves]
    assert drawn == [
        ("true labels, batch norm", "o"),
        ("true labels, batch norm hidden", "s"),
        ("random labels, batch norm", "o"),
        ("random labels, batch norm hidden", "s"),
    ]


DIFFERENCES = {
    "labels": "random",
    "subset": 2000,
    "confusion": 100,
    "batch_norm": "hidden",
    "dropout": 0.5,
    "width": 0.5,
    "lr": 0.2,
    "stop_on": "training",
    "data": "cifar10",
    "epochs": 7,
}


@pytest.mark.parametrize("key", DIFFERENCES)
def test_a_line_never_joins_trainings_that_differ(key):
    """Whatever the order of the files: each line has the l2 of one of the two trainings."""
    one, other = kept_at(LOSSES), kept_at(LOSSES, value=1000.0, **{key: DIFFERENCES[key]})
    mixed = [record for pair in zip(one, other, strict=True) for record in pair]
    for records in (one + other, mixed, mixed[::-1]):
        lines = curves(sheet(records))
        assert len(lines) == 2
        for line in lines.values():
            values = {round(10**y * loss, 6) for loss, y in line.items()}
            assert values in ({10.0}, {1000.0})


def test_a_recipe_trained_twice_is_two_trainings_by_their_histories():
    """As on another machine; not one training through all four losses."""
    once, again = kept_at({0.1: 0.08, 0.01: 0.008}), kept_at({0.1: 0.02, 0.001: 0.0002}, 40.0)
    for records in (once + again, again + once):
        lines = curves(sheet(records))
        assert sorted(map(list, lines.values())) == [[0.02, 0.0002], [0.08, 0.008]]


def test_seeds_with_other_thresholds_are_lines_of_their_own():
    """A mean over other seeds from point to point would look like growth."""
    records = kept_at(LOSSES, seed=0) + kept_at({0.1: 0.08, 0.01: 0.008}, value=1000.0, seed=1)
    lines = curves(sheet(records))
    assert list(lines) == ["seed 0", "seed 1"]
    assert list(map(len, lines.values())) == [3, 2]


def test_a_loss_at_which_one_seed_lacks_the_measure_is_left_out():
    records = kept_at(LOSSES, seed=0) + kept_at(LOSSES, seed=1)
    records[0]["measures"]["l2"] = records[0]["log10"]["l2"] = None
    records[0]["notes"] = ["l2: the margin gamma = -1 is not positive"]
    prepared = sheet(records)
    assert list(curves(prepared)["true labels"]) == [0.008, 0.0008]
    assert prepared.panels[0].messages == [
        "no l2 (1 network): the margin gamma = -1 is not positive"
    ]


def test_two_thresholds_passed_in_one_epoch_are_one_point_without_bars():
    """The two files hold the same network."""
    records = kept_at({0.1: 0.008, 0.001: 0.0008})
    twin = json.loads(json.dumps(records[0]))
    twin["recipe"]["stop_loss"] = 0.01
    for order in permutations([*records, twin]):
        [curve] = sheet(list(order)).panels[0].curves
        assert (len(curve.x), curve.has_bars) == (2, False)


def test_the_last_checkpoint_is_drawn_though_it_misses_its_loss():
    """Training gave up at a loss of 0.02."""
    records = kept_at({0.1: 0.08, 0.01: 0.02})
    assert list(curves(sheet(records))["true labels"]) == [0.08, 0.02]


def test_checkpoints_before_their_loss_are_left_out_with_a_note():
    """Those of --save-every and --keep-initial have the threshold of the last one."""
    records = kept_at({0.1: 0.08, 0.01: 0.03, 0.001: 0.0008})
    records[1]["recipe"]["stop_loss"] = 0.001
    prepared = sheet([*records, network()])
    assert list(curves(prepared)["true labels"]) == [0.08, 0.0008]
    assert prepared.notes[0].startswith("2 networks left out")


def test_the_loss_is_over_the_confusion_set_too():
    records = kept_at(LOSSES, subset=300, confusion=100)
    for record in records:
        record["outcome"]["confusion_loss"] = record["outcome"]["train_loss"] / 5
    expected = [pytest.approx(0.8 * loss) for loss in LOSSES.values()]
    assert list(curves(sheet(records))["true labels"]) == expected


@pytest.mark.parametrize(
    "records",
    [
        kept_at({0.01: 0.008}),
        kept_at({0.1: 0.08}) + kept_at({0.01: 0.008}, value=20.0, seed=1),
        [network()],
        [network() | {"recipe": None, "outcome": None}],
    ],
)
def test_without_two_losses_of_one_training_an_error_names_the_remedy(records):
    with pytest.raises(GentoolError, match="train with --keep-at"):
        sheet(records)


@pytest.mark.parametrize("count", [2, 12])
def test_no_text_lies_on_another(count):
    """Of many lines with long names too."""
    kinds = list(product(("true", "random"), (0.0, 0.5), (True, "hidden", "all")))[:count]
    records = [
        record
        for labels, dropout, batch_norm in kinds
        for record in kept_at(LOSSES, labels=labels, dropout=dropout, batch_norm=batch_norm)
    ]
    records[0]["notes"] = ["l2: the margin gamma = -1.57006 is not positive"]
    records[0]["measures"]["l2"] = records[0]["log10"]["l2"] = None
    check_text(draw(sheet(records), "A title"))


def test_growth_of_a_trained_network_is_that_of_its_files(tmp_path, monkeypatch):
    """Train with --keep-at, measure and plot, as a user does."""
    monkeypatch.chdir(tmp_path)
    train = "train --model mlp --hidden 16 --data digits --subset 60 --lr 0.1 --stop-loss 0.01"
    assert run([*train.split(), "--keep-at", "0.3,0.05", "-q", "-o", "a.safetensors"]) == 0
    stems = ["a.loss0.3", "a.loss0.05", "a"]
    assert run(["measure", *[f"{stem}.safetensors" for stem in stems], "-q"]) == 0
    files = [tmp_path / f"{stem}.measures.json" for stem in stems]
    assert run(["plot", *map(str, files), "--figure", "growth", "-q", "-o", "a.png"]) == 0
    records = merge(map(read, files))
    [line] = curves(sheet(records)).values()
    assert list(line) == [pytest.approx(r["outcome"]["train_loss"], abs=1e-8) for r in records]
    assert list(line.values()) == pytest.approx([r["log10"]["l2"] for r in records])


def test_one_training_on_two_machines_is_two_lines():
    """One recipe and one seed, with other histories: no two samples of a mean."""
    records = kept_at(LOSSES) + kept_at(LOSSES, value=40.0)
    drawn = sheet(records).panels[0].curves
    assert [curve.counts for curve in drawn] == [(1, 1, 1)] * 2


def test_measures_computed_with_several_settings_are_an_error():
    records = kept_at(LOSSES)
    records[0]["margin"]["epsilon"], records[1]["margin"]["epsilon"] = 0.05, 0.5
    with pytest.raises(GentoolError, match=r"l2 has several values of epsilon: 0.05, 0.5, None"):
        sheet(records)
