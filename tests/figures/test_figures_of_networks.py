"""Figures of trained networks: training, margins, samples of the data and the loss around them."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from helpers.figure_text import check_text
from PIL import Image
from safetensors import safe_open

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.data.examples import training_set
from gentool.data.sources import load_dataset
from gentool.data.subset import draw_subset
from gentool.figures import FIGURES, draw, inputs
from gentool.figures.registry import FigureOptions
from gentool.figures.sheet import Sheet
from gentool.records import measure_file

TRAIN = "train --model mlp --hidden 16 --data digits --subset 100 --lr 0.1 --labels"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two networks of 16 units on 100 digits with true and with random labels, measured."""
    folder = tmp_path_factory.mktemp("networks")
    for labels in ("true", "random"):
        path = str(folder / f"{labels}.safetensors")
        confusion = "20" if labels == "true" else "0"
        arguments = [*TRAIN.split(), labels, "--confusion", confusion]
        assert run([*arguments, "--quiet", "-o", path]) == 0
        assert run(["measure", path, "--quiet"]) == 0
    return folder


@pytest.fixture
def checkpoints(folder):
    return [folder / "true.safetensors", folder / "random.safetensors"]


@pytest.fixture
def measured(folder):
    return [folder / "true.measures.json", folder / "random.measures.json"]


def prepared(figure, files, **options):
    entry = FIGURES[figure]
    return entry.prepare(inputs.read_inputs(entry, files), FigureOptions(quiet=True, **options))


def outcome(path):
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["gentool"])["outcome"]


def test_training_curves_are_the_history_of_the_checkpoint(checkpoints):
    loss, error = prepared("training", checkpoints).panels
    for i, path in enumerate(checkpoints):
        history = outcome(path)["history"]
        assert [10**y for y in loss.curves[i].y] == pytest.approx(history["loss"])
        assert list(error.curves[i].y) == history["error"]
        assert list(error.curves[i].x) == history["epoch"]
        assert error.curves[i].marked == (len(history["epoch"]) - 1,)


def test_training_is_the_same_from_measure_files(checkpoints, measured):
    """A network given as checkpoint and as measure file is drawn once."""
    from_checkpoints = prepared("training", checkpoints)
    assert prepared("training", measured) == from_checkpoints
    assert prepared("training", [*checkpoints, *measured]) == from_checkpoints


def test_true_labels_are_blue_and_random_ones_vermilion(checkpoints):
    curves = prepared("training", checkpoints[::-1]).panels[0].curves
    assert [curve.colour for curve in curves] == ["#0072b2", "#d55e00"]
    assert [curve.label for curve in curves] == ["true labels, 20 confusion", "random labels"]


def test_margins_are_the_histograms_of_the_files(measured):
    """Height times width times the number of images is the count of a step."""
    distribution, _ = prepared("margins", measured).panels
    for curve, path in zip(distribution.curves, measured, strict=True):
        margin = measure_file.read(path)["margin"]
        lows, highs, heights = curve.x[1:-1:2], curve.x[2:-1:2], curve.y[1:-1:2]
        areas = [y * (b - a) for a, b, y in zip(lows, highs, heights, strict=True)]
        counts = margin["histogram"]["counts"]
        assert [area * margin["points"] for area in areas] == pytest.approx(counts)
        assert [*lows, highs[-1]] == margin["histogram"]["edges"]


def test_gamma_is_marked_in_the_colour_of_its_network(measured):
    """It is also the quantile at ε."""
    distribution, quantiles = prepared("margins", measured).panels
    for panel in (distribution, quantiles):
        for curve, line, path in zip(panel.curves, panel.vertical_lines, measured, strict=True):
            gamma = measure_file.read(path)["margin"]["gamma"]
            assert (line.x, line.colour) == (gamma, curve.colour)
    assert quantiles.curves[0].y[quantiles.curves[0].x.index(quantiles.vertical_lines[0].x)] == 0.05


def test_negative_margins_are_in_the_range_of_the_axis(measured, tmp_path):
    """A line is at 0, and the axis reaches below it."""
    record = measure_file.read(measured[0])
    histogram = record["margin"]["histogram"]
    histogram["edges"] = [edge - 5 for edge in histogram["edges"]]
    measure_file.write(tmp_path / "a.json", record)
    panel = prepared("margins", [tmp_path / "a.json"]).panels[0]
    assert 0.0 in [line.x for line in panel.vertical_lines]
    low, high = draw(Sheet([panel], "")).axes[0].get_xlim()
    quantiles = record["margin"]["quantiles"]
    assert low < min(0, quantiles["0.01"]) < max(0, quantiles["0.99"]) < high


@pytest.mark.parametrize("name", ["true", "random"])
def test_samples_have_the_labels_that_training_was_given(folder, name):
    """Each image is found among those that training draws, and in the data set, by its pixels."""
    path = folder / f"{name}.safetensors"
    _, sets = training_set(checkpoint.read(path).recipe, digits(), torch.device("cpu"))
    shelves = prepared("samples", [path], seed=3).shelves
    assert [len(shelf.tiles) for shelf in shelves] == ([24, 8] if name == "true" else [24])
    for shelf, part in zip(shelves, (sets.subset, sets.confusion), strict=False):
        for tile in shelf.tiles:
            assert tile.given == label_of(tile.pixels, part.images, part.labels)
            true = label_of(tile.pixels, digits().train_images, digits().train_labels)
            assert tile.true == true


def digits():
    return load_dataset("digits", None, False)


def label_of(pixels, images, labels):
    [where] = (images[:, 0] == torch.from_numpy(pixels.copy())).all((1, 2)).nonzero()
    return str(int(labels[where]))


def test_wrong_labels_are_vermilion_and_right_ones_blue(checkpoints):
    """Below a wrong label stands the true one in brackets."""
    gallery = prepared("samples", checkpoints[1:])
    tiles, axes = gallery.shelves[0].tiles, draw(gallery).axes
    assert {tile.is_right for tile in tiles} == {True, False}
    for tile, drawn in zip(tiles, axes, strict=True):
        blue = drawn.xaxis.label.get_color() == "#0072B2"
        assert blue == tile.is_right
        expected = [tile.given] if tile.is_right else [tile.given, f"({tile.true})"]
        assert drawn.get_xlabel().split() == expected


def test_samples_in_colour_have_the_names_of_their_classes(tmp_path):
    """A folder of images: the names of its folders, and the pixels of its files."""
    for i, (part, name) in enumerate(product(("train", "test"), ("ant", "bee"))):
        (tmp_path / part / name).mkdir(parents=True)
        colour = (40 * i, 200, 255 - 40 * i)
        Image.new("RGB", (8, 8), colour).save(tmp_path / part / name / "0.png")
    path = str(tmp_path / "net.safetensors")
    arguments = ["train", "--data", f"folder:{tmp_path}", "--model", "mlp", "--hidden", "2"]
    assert run([*arguments, "--epochs", "1", "--quiet", "-o", path]) == 0
    tiles = prepared("samples", [Path(path)]).shelves[0].tiles
    first_pixels = {tile.given: tuple(tile.pixels[0, 0]) for tile in tiles}
    assert first_pixels == {"ant": (0, 200, 255), "bee": (40, 200, 215)}


def test_the_samples_are_drawn_once(checkpoints, monkeypatch):
    draws = []

    def counted(*arguments, **options):
        draws.append(options["seed"])
        return draw_subset(*arguments, **options)

    for module in ("data.subset", "data.examples"):
        monkeypatch.setattr(f"gentool.{module}.draw_subset", counted)
    prepared("samples", checkpoints[:1])
    assert len(draws) == 1


def test_the_seed_chooses_the_samples(checkpoints):
    first, again, other = (prepared("samples", checkpoints[:1], seed=seed) for seed in (0, 0, 1))
    pixels = [[tile.pixels.tolist() for tile in g.shelves[0].tiles] for g in (first, again, other)]
    assert pixels[0] == pixels[1] != pixels[2]


@pytest.fixture(scope="module")
def witness(folder):
    """A witness of the network on random labels, and the record of its search."""
    path = folder / "random.safetensors"
    arguments = ["--alpha", "0.02", "--save-perturbation", str(folder / "worst.safetensors")]
    assert run(["sharpness", str(path), *arguments, "--quiet", "--batching", "stacked"]) == 0
    return folder / "worst.witness", measure_file.read(path.with_suffix(".sharpness.json"))[
        "sharpness"
    ]


def test_the_worst_direction_rises_from_the_loss_by_the_rise_of_the_record(checkpoints, witness):
    """The marker at +1 names the rise."""
    file, record = witness
    [panel] = prepared("direction", checkpoints[1:], witness=file).panels
    rise = record["points"][0]["rise"]
    worst = loss_at(panel, 0)
    assert worst[0] == pytest.approx(record["loss"], rel=1e-9)
    assert worst[1] == pytest.approx(record["loss"] + rise, rel=1e-9)
    assert panel.curves[0].x[panel.curves[0].marked[0]] == panel.remarks[0].x == 1
    assert panel.remarks[0].text == f"rise {rise:.4g}"


def loss_at(panel, number):
    """Return the losses of a curve by their x, on a logarithmic axis or a linear one."""
    curve = panel.curves[number]
    values = [10**y for y in curve.y] if panel.y.scale == "log10" else curve.y
    return dict(zip(curve.x, values, strict=True))


def test_random_corners_begin_at_the_same_loss_and_stay_below_the_worst(checkpoints, witness):
    [panel] = prepared("direction", checkpoints[1:], witness=witness[0]).panels
    worst, *others = (loss_at(panel, i) for i in range(4))
    for other in others:
        assert other[0] == worst[0]
        assert max(other[-1], other[1]) < worst[1]


def test_without_a_witness_the_direction_is_searched_at_alpha(checkpoints):
    """A loss that spans decades has a logarithmic axis, one that hardly moves a linear one."""
    sheets = [prepared("direction", checkpoints[1:], alpha=alpha) for alpha in (0.05, 1e-7)]
    assert [sheet.panels[0].y.scale for sheet in sheets] == ["log10", "linear"]
    for sheet in sheets:
        losses = loss_at(sheet.panels[0], 0)
        assert losses[1] == max(losses.values()) > losses[0]


@pytest.mark.parametrize(
    ("checkpoint", "options", "code", "error"),
    [
        ("true", ["--witness", "worst.witness"], 1, "belongs to another checkpoint"),
        ("random", ["--witness", "random.safetensors"], 1, "of gentool train, not a witness"),
        ("random", ["--witness", "none.witness"], 1, "none.witness does not exist"),
        ("random", ["--witness", "worst.witness", "--alpha", "1"], 2, "leave out --alpha"),
        ("random", ["--alpha", "0"], 2, "--alpha is 0; it has to be a number above 0"),
        ("none", [], 1, "none.safetensors does not exist"),
    ],
)
def test_a_direction_that_cannot_be_drawn_is_one_line_of_error(
    folder, witness, monkeypatch, capsys, checkpoint, options, code, error
):
    monkeypatch.chdir(folder)
    arguments = [f"{checkpoint}.safetensors", "--figure", "direction", *options, "-o", "none.png"]
    assert run(["plot", *arguments]) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert error in printed.err


@pytest.mark.parametrize("figure", ["samples", "margins", "training", "direction"])
def test_the_same_figure_gives_the_same_bytes(folder, witness, figure):
    file = folder / ("true.measures.json" if figure == "margins" else "random.safetensors")
    options = ["--witness", str(witness[0])] if figure == "direction" else []
    paths = [folder / f"{figure}{i}.png" for i in range(2)]
    for path in paths:
        arguments = [str(file), "--figure", figure, *options, "-o", str(path), "--quiet"]
        assert run(["plot", *arguments]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("figure", ["samples", "margins", "training", "direction"])
def test_no_text_of_a_figure_lies_on_another(checkpoints, measured, witness, figure):
    files = {"margins": measured, "training": checkpoints}.get(figure, checkpoints[1:])
    options = {"witness": witness[0]} if figure == "direction" else {}
    check_text(draw(prepared(figure, files, **options), "A title"))


@pytest.mark.parametrize(
    ("figure", "files", "error"),
    [
        ("samples", ["true.measures.json"], "true.measures.json is a measure file"),
        ("margins", ["true.safetensors"], "true.safetensors is a checkpoint"),
        ("1", ["true.measures.json", "true.safetensors"], "true.safetensors is a checkpoint"),
        ("samples", ["true.safetensors", "random.safetensors"], "draws one checkpoint; 2"),
    ],
)
def test_files_of_another_kind_are_one_line_of_error(
    folder, monkeypatch, capsys, figure, files, error
):
    monkeypatch.chdir(folder)
    assert run(["plot", *files, "--figure", figure, "-o", "none.png"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert error in printed.err
    assert not Path("none.png").exists()


@pytest.mark.parametrize("figure", ["training", "margins"])
def test_figures_from_files_do_not_import_torch(tmp_path, checkpoints, measured, figure):
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    files = measured if figure == "margins" else checkpoints
    arguments = ["plot", *files, "--figure", figure, "-o", tmp_path / "a.png"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_history_that_no_file_holds_is_an_error(measured, tmp_path, capsys):
    record = measure_file.read(measured[0]) | {"outcome": None}
    measure_file.write(tmp_path / "a.json", record)
    assert run(["plot", str(tmp_path / "a.json"), "--figure", "training"]) == 1
    assert "none of these files holds the history" in capsys.readouterr().err


def test_a_perturbed_copy_of_a_network_is_no_second_training(checkpoints, witness):
    """`--save-perturbation` keeps the history; the network itself is drawn."""
    perturbed = checkpoints[1].parent / "worst.safetensors"
    prepared_sheet = prepared("training", [perturbed, checkpoints[1]])
    assert len(prepared_sheet.panels[0].curves) == 1
    assert "1 network left out with the history of another one" in prepared_sheet.notes[0]


def test_margins_of_many_networks_have_a_row_each(measured, tmp_path):
    """Median, half and 98 % of the images, and gamma."""
    record = measure_file.read(measured[0])
    for seed in range(6):
        record["checkpoint"]["sha256"] = f"{seed:064}"
        record["recipe"]["seed"] = seed
        measure_file.write(tmp_path / f"{seed}.json", record)
    sheet = prepared("margins", sorted(tmp_path.glob("*.json")))
    [panel] = sheet.panels
    levels = record["margin"]["quantiles"]
    outer, inner, gamma = panel.curves[:3]
    assert (outer.low, outer.y, outer.high) == (
        (levels["0.01"],),
        (levels["0.50"],),
        (levels["0.99"],),
    )
    assert (inner.low, inner.high) == ((levels["0.25"],), (levels["0.75"],))
    assert gamma.y == (record["margin"]["gamma"],)
    assert panel.x.tick_labels == tuple(f"seed {seed}" for seed in range(6))
    check_text(draw(sheet))
