"""The paper's figures: the curves in each panel, as the sheet holds them before it is drawn."""

import json
from importlib import resources

import pytest
from helpers.figure_records import by_confusion, by_size, by_width, network, rows

from gentool.common.errors import GentoolError, UsageError
from gentool.figures import FIGURES, draw
from gentool.figures.arrangement import arrange, reference_fits
from gentool.figures.registry import FigureOptions

RECORDS = {"1": by_size, "2": by_size, "3": by_confusion, "4": by_width}


MNIST = {"data": "mnist", "input_shape": [1, 28, 28], "classes": 10}
VGG = {"model": "vgg", "width": 1.0, "depth": None, "hidden": None, "input_shape": [3, 32, 32]}


PAPER = {"1": VGG, "2": VGG, "4": MNIST}


def sheet(figure, records, **options):
    options = FigureOptions(**options)
    return FIGURES[figure].prepare(records, options)


def curves(panel):
    return {curve.label: (list(curve.x), list(curve.y)) for curve in panel.curves}


def test_figure_1_has_four_norms_as_logarithms_against_the_size():
    panels = sheet("1", by_size((10, 100))).panels
    assert [panel.y.label.split()[0] for panel in panels] == [
        "ℓ2",
        "ℓ1-path",
        "ℓ2-path",
        "spectral",
    ]
    assert curves(panels[0])["true labels"] == ([10, 100], pytest.approx([1, 2]))
    assert curves(panels[0])["random labels"] == ([10, 100], pytest.approx([2, 4]))


def test_figure_2_has_sharpness_and_a_kl_curve_for_each_size():
    sharpness, true, random = sheet("2", by_size((1000, 4000))).panels
    assert curves(sharpness)["random labels"] == ([1000, 4000], [0.5, 0.5])
    for panel in (true, random):
        assert list(curves(panel)) == ["1K", "4K"]
        assert (panel.level, panel.y.low, panel.y.high) == (0.05, 0, 0.3)


def test_kl_is_without_the_half_as_the_paper_plots_it_with_the_standard_error_as_a_band():
    [curve] = sheet("4", [network()]).panels[2].curves
    assert curve.x == tuple(sorted(row["kl_without_half"] for row in rows()))
    assert [h - y for h, y in zip(curve.high, curve.y, strict=True)] == pytest.approx([0.01] * 4)
    assert "Σ w² / σ²" in sheet("4", [network()]).panels[2].x.label


def test_figure_3_has_errors_measures_and_kl_against_the_confusion_set():
    errors, measures, kl = sheet("3", by_confusion()).panels
    assert curves(errors)["error on the confusion set"] == ([100, 200], [0, 0])
    assert curves(errors)["test error"] == ([0, 100, 200], [0.25] * 3)
    assert curves(measures)["ℓ2"] == ([0, 100, 200], pytest.approx([0, 0.5, 1]))
    assert list(curves(kl)) == ["0", "100", "200"]


def test_the_measures_of_figure_4_leave_out_networks_that_do_not_fit_with_a_note():
    records = by_width((32, 64, 128)) + by_width((8,), train_error=0.1)
    prepared = sheet("4", records)
    assert curves(prepared.panels[0])["training error"] == ([8, 32, 64, 128], [0.1, 0, 0, 0])
    assert curves(prepared.panels[1])["ℓ2"][0] == [32, 64, 128]
    assert "the measures are of networks that fit, without those of 8 units" in prepared.notes


def test_rescaled_measures_run_from_0_to_1_however_large_they_are():
    records = by_width((32, 64, 128))
    for record, log in zip(records, (900.0, 901.0, 899.0), strict=True):
        record["measures"]["l2"], record["log10"]["l2"] = None, log
    _, y = curves(sheet("4", records).panels[1])["ℓ2"]
    assert y == pytest.approx([0.9 / 9.9, 1, 0])


@pytest.mark.parametrize(
    ("widths", "drawn"),
    [
        ((16, 32, 64, 128, 256, 512, 1024, 2048), ["32", "128", "512", "2048"]),
        ((2, 4, 8, 16, 32, 64, 128, 256, 512), ["2", "8", "16", "64", "128", "512"]),
        ((2, 4), ["2", "4"]),
    ],
)
def test_kl_curves_are_those_of_the_paper_or_six_at_most(widths, drawn):
    assert list(curves(sheet("4", by_width(widths)).panels[2])) == drawn


@pytest.mark.parametrize("figure", RECORDS)
def test_missing_measures_are_named_in_the_panel_and_in_the_notes(figure):
    records = RECORDS[figure](curve=False)
    for record in records:
        del record["measures"]["sharpness"], record["log10"]["sharpness"]
    prepared = sheet(figure, records)
    messages = [message for panel in prepared.panels for message in panel.messages]
    expected = ["no sharpness: run gentool sharpness"]
    expected += ["no expected sharpness: run gentool sharpness --expected"]
    assert set(messages) == set(expected if figure != "1" else [])
    assert set(messages) <= set(prepared.notes)


def test_a_null_measure_is_left_out_with_its_reason():
    records = by_size((1000, 2000))
    records[0]["measures"]["l2"] = records[0]["log10"]["l2"] = None
    records[0]["notes"] = ["l2: the margin gamma = -1 is not positive"]
    panel = sheet("1", records).panels[0]
    assert curves(panel)["true labels"][0] == [2000]
    assert panel.messages == ["no l2 (1 network): the margin gamma = -1 is not positive"]


def test_seeds_are_averaged_and_their_kl_curves_are_thin():
    records = by_size((10,), seed=0) + by_size((10,), seed=1)
    for record, l2 in zip(records[::2], (10.0, 1000.0), strict=True):
        record["log10"]["l2"] = l2
    prepared = sheet("1", records)
    curve = prepared.panels[0].curves[0]
    assert (curve.y, curve.low) == ((505.0,), None)
    assert curve.runs == ((10.0, 10.0), (10.0, 1000.0))
    words = "4 networks; mean over seeds (n = 2, of logarithms on logarithmic axes); small points"
    assert words in prepared.caption
    [curve, _] = sheet("1", records, errorbar="minmax").panels[0].curves
    assert (curve.low, curve.high) == ((10.0,), (1000.0,))
    assert [c.is_thin for c in sheet("2", records).panels[1].curves] == [True, True]


@pytest.mark.parametrize("figure", ["1", "2", "4"])
def test_the_reference_is_the_curves_of_the_file(figure):
    """Each curve is one of the file's, but for what is below the range of the axis or in log10."""
    file = json.loads((resources.files("gentool.figures") / "paper_figures.json").read_text())
    assert "NIPS 2017" in file["source"]
    in_file = [p for key, p in file["values"].items() if key.startswith(f"fig{figure}")]
    prepared = sheet(figure, RECORDS[figure](**PAPER[figure]), reference=True)
    drawn = [curve for panel in prepared.panels for curve in panel.reference]
    assert len(drawn) == len(in_file)
    for curve in drawn:
        points = [list(point) for point in zip(curve.x, curve.y, strict=True)]
        assert any(all(point in other for point in points) for other in in_file)


def test_figure_4_of_one_width_is_drawn():
    """Its measures cannot be rescaled; the empty panel with a logarithmic axis says so."""
    prepared = sheet("4", [network()])
    assert "l2 has one value only, which cannot be rescaled" in prepared.panels[1].messages
    assert len(draw(prepared).axes) == 3


def test_figure_3_has_no_reference_and_a_note_says_so():
    prepared = sheet("3", by_confusion(), reference=True)
    assert not any(panel.reference for panel in prepared.panels)
    assert "there are no values of the paper's figure 3 to lie behind ours" in prepared.notes


@pytest.mark.parametrize("figure", RECORDS)
def test_networks_of_two_kinds_are_an_error_that_names_the_keys(figure):
    records = RECORDS[figure]() + RECORDS[figure](data="mnist")
    with pytest.raises(GentoolError, match=r"differ in recipe.data \(mnist, folder:/x/faces\)"):
        sheet(figure, records)


def test_the_same_data_in_two_folders_is_one_kind_by_its_fingerprint():
    records = by_size((10,), fingerprint="f") + by_size((20,), data="folder:b", fingerprint="f")
    assert curves(sheet("1", records).panels[0])["true labels"][0] == [10, 20]


OTHERS = {
    "lr": 0.2,
    "batch_norm": True,
    "dropout": 0.5,
    "init": "uniform",
    "warmup": 5.0,
    "patience": 7,
    "precision": "bfloat16",
    "optimizer": "adam",
    "stop_loss": 0.001,
    "epochs": 7,
    "draw": "first",
    "a_field_of_a_later_version": 1,
}


@pytest.mark.parametrize("figure", RECORDS)
@pytest.mark.parametrize("key", OTHERS)
def test_networks_trained_otherwise_are_an_error_that_names_the_key_and_its_values(figure, key):
    """Whichever field of the recipe it is, but for those that the figure varies and the seed."""
    records = RECORDS[figure]() + RECORDS[figure](**{key: OTHERS[key]}, seed=1)
    with pytest.raises(GentoolError, match=rf"these differ in recipe.{key} \(.*{OTHERS[key]}.*\)"):
        sheet(figure, records)


@pytest.mark.parametrize("key", ["subset", "labels", "confusion"])
def test_figure_4_never_averages_over_what_its_networks_were_trained_on(key):
    """Other labels and confusion sets are left out with a note; two sizes are an error."""
    other = by_width(**{key: {"subset": 500, "labels": "random", "confusion": 100}[key]})
    if key == "subset":
        with pytest.raises(GentoolError, match=r"recipe.subset \(500, 1000\)"):
            sheet("4", by_width() + other)
        return
    assert len(sheet("4", by_width() + other).notes) == 1
    assert sheet("4", by_width() + other).panels == sheet("4", by_width()).panels


def test_networks_with_confusion_sets_are_in_figure_3_alone():
    records = by_size() + by_confusion()
    assert curves(sheet("1", records[:6] + records[7:]).panels[0])["true labels"][0] == [
        1000,
        2000,
        4000,
    ]
    assert curves(sheet("3", records[1:]).panels[0])["test error"][0] == [0, 100, 200]
    with pytest.raises(GentoolError, match="train them with gentool train --confusion"):
        sheet("3", by_size())


def test_the_caption_names_data_model_and_number_of_networks():
    assert sheet("1", by_size()).caption == "faces, MLP, 1 hidden layer, 64 units, 6 networks"
    vgg = by_size(model="vgg", width=0.25, depth=None, hidden=None, train_error=0.1)
    assert sheet("1", vgg).caption == (
        "faces, VGG, width 0.25, 6 networks, 6 networks with a training error above 0"
    )


@pytest.mark.parametrize(
    ("path_norms", "exponent", "words"),
    [("maxpool", 5, "largest path at max pooling"), ("sum", 6, "sum over the pooling's inputs")],
)
def test_path_norms_are_those_of_the_largest_path_or_the_sums_and_the_label_says_which(
    path_norms, exponent, words
):
    """In figure 1 the label of the axis, in figure 3 the title of the legend."""
    panels = sheet("1", by_size((10,), **VGG), path_norms=path_norms).panels
    assert curves(panels[1])["true labels"] == ([10], pytest.approx([exponent]))
    assert [words in panel.y.label for panel in panels] == [False, True, True, False]
    records = by_confusion((0, 100), **VGG)
    for record, log in zip(records, (3.0, 2.0), strict=True):
        record["log10"]["l1_path_maxpool"] = log
    measures = sheet("3", records, path_norms=path_norms).panels[1]
    assert measures.legend_title == f"path norms: {words}"
    falls = curves(measures)["ℓ1-path"][1] == pytest.approx([1, 0])
    assert falls == (path_norms == "maxpool")


@pytest.mark.parametrize("figure", ["1", "4"])
def test_without_max_poolings_both_readings_are_the_same_figure(figure):
    """MLPs: nothing speaks of poolings, and their files need not hold the second reading."""
    records = RECORDS[figure]()
    drawn = sheet(figure, records)
    assert drawn == sheet(figure, records, path_norms="sum")
    assert not any("pooling" in panel.y.label for panel in drawn.panels)
    assert drawn.panels[1].messages == []


def test_a_record_without_the_largest_path_names_the_remedy_and_is_not_drawn():
    """One of an older version, or measured with --only."""
    records = by_size((10, 20), **VGG)
    for part in ("measures", "log10"):
        del records[0][part]["l1_path_maxpool"]
    prepared = sheet("1", records)
    message = (
        "no l1_path_maxpool (1 network): run gentool measure again, or plot with --path-norms sum"
    )
    assert prepared.panels[1].messages == [message]
    assert message in prepared.notes
    assert curves(prepared.panels[1])["true labels"][0] == [20]
    assert sheet("1", records, path_norms="sum").notes == []


def test_an_unknown_reading_of_the_path_norms_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"'max'.*known: maxpool, sum"):
        sheet("1", by_size((10,)), path_norms="max")


@pytest.mark.parametrize(
    ("sizes", "recipe", "is_one_axis"),
    [
        ((5000, 10_000), {}, True),
        ((5000, 7000), {}, True),
        ((6000, 7000), {}, False),
        ((5000, 10_000), {"width": 0.5}, False),
        ((5000, 10_000), {"model": "vgg16"}, False),
    ],
)
def test_figure_1_and_the_paper_share_their_axes_where_the_scale_is_the_papers(
    sizes, recipe, is_one_axis
):
    """A VGG of full width on CIFAR-10's images, one size in common; however far the values are."""
    panels = sheet("1", by_size(sizes, **VGG | recipe), reference=True).panels
    for panel in panels:
        assert all(reference_fits(panel, name) == is_one_axis for name in "xy")


def test_sums_over_paths_share_no_axis_with_the_paper():
    """The paper's values are of the other reading; l2 and spectral have one only."""
    panels = sheet("1", by_size((5000,), **VGG), reference=True, path_norms="sum").panels
    assert [reference_fits(panel, "y") for panel in panels] == [True, False, False, True]


def with_settings(records, epsilon=None, alpha=None, stopped=None, **command):
    """Set the settings with which records were measured."""
    for record in records:
        record["command"] = record["command"] | command
        record["margin"]["epsilon"] = epsilon
        record["sharpness"] = {"points": [{"alpha": alpha, "stopped": stopped}]}
    return records


@pytest.mark.parametrize(
    ("figure", "one", "other", "words"),
    [
        ("1", {"epsilon": 0.05}, {"epsilon": 0.5}, "l2 has several values of epsilon: 0.05, 0.5"),
        ("1", {}, {"biases": False}, "l1_path has several values of biases: True, False"),
        ("2", {"alpha": 5e-4}, {"alpha": 5e-3}, "sharpness has several values of alpha: 0.0005"),
        ("2", {}, {"method": "keskar2017"}, "method: default, keskar2017"),
        ("2", {}, {"units": 20.0}, "sharpness has several values of units"),
        ("2", {}, {"precision": 0.1}, "expected_sharpness.curve has several values of precision"),
        ("3", {"alpha": 5e-4}, {"alpha": 5e-3}, "sharpness has several values of alpha"),
        ("4", {}, {"protocol": "random"}, "sharpness has several values of protocol"),
        ("4", {}, {"an_option_of_later": 1}, "an_option_of_later"),
    ],
)
def test_values_measured_otherwise_are_an_error_that_names_the_setting(figure, one, other, words):
    """Whichever of the networks were: also those of the other line."""
    records = RECORDS[figure]()
    half = len(records) // 2
    records = with_settings(records[:half], **one) + with_settings(records[half:], **other)
    with pytest.raises(GentoolError, match=words) as error:
        sheet(figure, records)
    assert f"figure {figure} draws values measured alike" in str(error.value)


def test_the_caption_names_epsilon_alpha_and_what_is_not_the_default():
    records = with_settings(by_width(), 0.05, 0.0005, method="pga")
    assert "ε 0.05, α 0.0005, method pga; " in sheet("4", records).caption
    assert "α" not in sheet("1", with_settings(by_size(), 0.05, 0.0005)).caption


def test_a_search_that_was_cut_short_has_an_open_marker():
    records = with_settings(by_size((10, 20)), alpha=0.0005)
    records[0]["sharpness"]["points"][0]["stopped"] = "time"
    prepared = sheet("2", records)
    cut, whole, random = prepared.panels[0].curves
    assert [curve.is_open for curve in (cut, whole, random)] == [True, False, False]
    assert (cut.label, cut.x, whole.x) == ("true labels", (10.0,), (20.0,))
    assert "open markers: the search was cut short" in prepared.caption


@pytest.mark.parametrize("figure", RECORDS)
@pytest.mark.parametrize("has_measures", [True, False])
def test_checkpoints_of_one_training_are_an_error(figure, has_measures):
    """They have one recipe and one seed: no average, nor of their curves against KL."""
    records = RECORDS[figure]() + RECORDS[figure]()
    if not has_measures:
        records = [record | {"measures": {}, "log10": {}, "outcome": None} for record in records]
    for i, record in enumerate(records):
        record["checkpoint"] = {"file": f"a{i}", "sha256": str(i)}
    with pytest.raises(GentoolError, match="give one of them"):
        sheet(figure, records)


@pytest.mark.parametrize(
    "records",
    [
        by_width((512,)),
        by_width(train_error=0.1),
        [record | {"measures": {}, "log10": {}} for record in by_width()],
        [record | {"measures": {}, "log10": {}} for record in by_width((8,), curve=False)],
    ],
    ids=["one width", "none fits", "expected alone", "nothing"],
)
@pytest.mark.parametrize("reference", [False, True])
def test_a_panel_without_data_says_so(records, reference):
    """Figure 4 of one width, of expected sharpness alone, of networks none of which fits."""
    prepared = sheet("4", records, reference=reference)
    assert len(draw(prepared).axes) >= 3
    for panel in prepared.panels:
        assert panel.curves or panel.messages


@pytest.mark.parametrize("figure", RECORDS)
def test_every_panel_of_a_figure_without_values_says_so(figure):
    records = RECORDS[figure](curve=False)
    for record in records:
        record["measures"], record["log10"], record["outcome"] = {}, {}, None
    prepared = sheet(figure, records)
    assert all(panel.messages and not panel.curves for panel in prepared.panels)
    assert draw(prepared).axes


@pytest.mark.parametrize(
    ("figure", "recipe", "actual"),
    [
        ("1", {}, "MLP on faces"),
        ("2", {"data": "mnist"}, "MLP on mnist"),
        ("1", VGG | {"data": "svhn"}, "VGG on svhn"),
        ("2", VGG | {"data": "cifar100", "classes": 100}, "VGG on cifar100"),
        ("1", VGG | {"input_shape": [3, 64, 64]}, "VGG on faces"),
        ("4", {"data": "fashion-mnist", "input_shape": [1, 28, 28]}, "MLP on fashion-mnist"),
        ("4", MNIST | {"depth": 2}, "MLP on mnist"),
    ],
)
def test_the_reference_refuses_networks_and_data_of_another_kind(figure, recipe, actual):
    with pytest.raises(GentoolError, match=f"these files of {actual}; leave out --reference"):
        sheet(figure, RECORDS[figure](**recipe), reference=True)
    assert sheet(figure, RECORDS[figure](**recipe)).panels


def test_another_scale_than_the_papers_is_said_and_has_panels_of_its_own():
    """A note and the caption; at the paper's scale its values lie behind ours."""
    for sizes, is_same in (((500, 1000), False), ((5000, 10_000), True)):
        prepared = sheet("1", by_size(sizes, **VGG | {"data": "cifar10"}), reference=True)
        assert any("of another scale" in note for note in prepared.notes) != is_same
        assert ("of another scale: full width, 5K to 50K images" in prepared.caption) != is_same
        rows = arrange(prepared).rows
        assert [panel.is_faded for panel in rows[-1]] == [not is_same] * len(rows[-1])
        assert len(draw(prepared).axes) == (4 if is_same else 8)


def test_a_folder_of_images_of_the_papers_shape_is_taken_for_its_data_with_a_note():
    notes = sheet("1", by_size((5000,), **VGG), reference=True).notes
    assert "the paper's networks are VGGs on CIFAR-10; faces is taken for the same data" in notes


def test_kl_curves_of_several_seeds_are_one_mean_at_the_same_noise():
    """Expected sharpness 0.02 to 0.3 and half of it: the mean, and the band to both."""
    records = [network(seed=seed) for seed in (0, 1)]
    for record, factor in zip(records, (1.0, 0.5), strict=True):
        for alpha, row in enumerate(record["expected_sharpness"]["curve"]):
            row["alpha"] = 0.01 * (1 + alpha)
            row["value"] *= factor
    [curve] = sheet("4", records).panels[2].curves
    values = sorted(row["value"] for row in records[0]["expected_sharpness"]["curve"])
    assert sorted(curve.y) == pytest.approx([0.75 * value for value in values])
    assert sorted(curve.high) == pytest.approx(values)
    assert sorted(curve.low) == pytest.approx([0.5 * value for value in values])
    assert "bands: from the lowest to the highest seed" in sheet("4", records).caption


@pytest.mark.parametrize("figure", RECORDS)
def test_labels_of_the_package_have_no_characters_to_be_escaped(figure):
    r"""Names from outside are drawn as \xa0; what the package writes itself needs none of that."""
    drawn = draw(sheet(figure, RECORDS[figure]()))
    texts = [text.get_text() for text in drawn.findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any(texts)
    assert not [text for text in texts if "\\" in text and not text.startswith("$")]
