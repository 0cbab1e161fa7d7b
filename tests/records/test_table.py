"""Tables of records: what is chosen, sorted, averaged, and said about cells without a value."""

import pytest
from helpers.claim_records import network

from gentool.common.errors import GentoolError, UsageError
from gentool.records.averaging import Average
from gentool.records.cells import Large, NoValue, in_words, number_in_words
from gentool.records.conditions import parse_condition
from gentool.records.measure_file import merge
from gentool.records.table import TableOptions, make_table


def table(records, where=(), **options):
    conditions = tuple(map(parse_condition, where))
    options = {key: tuple(value) if value is not True else True for key, value in options.items()}
    return make_table(merge(records), TableOptions(where=conditions, **options))


def sweep(seeds=(0, 1, 2), **others):
    """Two labels, two sizes, some seeds: l2 is 1e3, 2e3, ... times the size over 500, plus seed."""
    return [
        network(labels=labels, subset=subset, seed=seed, l2=subset / 500 + seed, **others)
        for labels in ("true", "random")
        for subset in (1000, 500)
        for seed in seeds
    ]


def column(made, key):
    return [row[made.columns.index(key)] for row in made.rows]


def test_by_default_a_table_shows_what_varies_errors_the_gap_and_the_papers_measures():
    """Sorted by what varies, which tells all rows apart."""
    made = table(sweep())
    settings = ["recipe.labels", "recipe.subset", "recipe.seed"]
    errors = ["outcome.train_error", "outcome.test_error", "gap"]
    assert made.columns == ["checkpoint.file", *settings, *errors, "l2"]
    assert made.files_can_go
    assert [row[1:4] for row in made.rows[:4]] == [
        ["random", 500, 0],
        ["random", 500, 1],
        ["random", 500, 2],
        ["random", 1000, 0],
    ]


def test_the_files_of_one_network_are_one_row():
    measured, searched = network(l2=3.0), network(sharpness=0.5)
    made = table([measured, searched], columns=["l2", "sharpness"])
    assert made.rows == [[1000.0, 0.5]]


@pytest.mark.parametrize(
    ("where", "sizes"),
    [
        (["recipe.labels=true"], [500, 1000]),
        (["recipe.labels=true,random", "recipe.subset=1e3"], [1000, 1000]),
        (["recipe.subset!=1000"], [500, 500]),
        (["recipe.subset<1000"], [500, 500]),
        (["recipe.subset>=1000", "recipe.labels!=random"], [1000]),
        (["l2 > 50"], [1000, 1000]),
    ],
)
def test_conditions_choose_networks(where, sizes):
    made = table(sweep(seeds=[0]), where, columns=["recipe.subset"], sort=["recipe.subset"])
    assert column(made, "recipe.subset") == sorted(sizes)


def test_a_condition_that_no_network_meets_is_an_error_with_the_values():
    with pytest.raises(GentoolError, match=r"labels=0\.3; its values are true, random"):
        table(sweep(), ["recipe.labels=0.3"])


def test_one_of_several_values_that_does_not_occur_is_told():
    made = table(sweep(), ["recipe.labels=true,randon"])
    assert "no network has recipe.labels=randon; its values are true, random" in made.notes


@pytest.mark.parametrize("text", ["recipe.labels", "=true", "gap<small", "gap<0.1,0.2"])
def test_a_malformed_condition_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--where is"):
        parse_condition(text)


def test_an_unknown_key_is_answered_with_the_nearest():
    for options in ({"columns": ["recipe.subsets"]}, {"sort": ["-recipe.subsets"]}):
        with pytest.raises(UsageError, match=r"did you mean 'recipe.subset'"):
            table(sweep(), **options)


def test_rows_are_sorted_by_keys_from_the_largest_down_after_a_minus():
    """8 before 16 in names, and rows without a value last in both directions."""
    records = [network(subset=size, sharpness=value) for size, value in ((1, 0.5), (2, 0.25))]
    records.append(network(subset=3, l2=1.0))
    for sort, sizes in (("sharpness", [2, 1, 3]), ("-sharpness", [1, 2, 3])):
        made = table(records, columns=["recipe.subset"], sort=[sort])
        assert column(made, "recipe.subset") == sizes
    for record, file in zip(records, ("h16.pt", "h8.pt", "a.pt"), strict=True):
        record["checkpoint"]["file"] = file
    made = table(records, columns=["checkpoint.file"], sort=["checkpoint.file"])
    assert column(made, "checkpoint.file") == ["a.pt", "h8.pt", "h16.pt"]


def test_groups_are_averaged_over_the_seed_alone():
    """Mean, standard deviation with the divisor n - 1, and number."""
    made = table(sweep(), columns=["l2"], group_by=["recipe.labels", "recipe.subset"])
    assert made.columns == ["recipe.labels", "recipe.subset", "n", "l2"]
    values = [10 ** (1 + seed) for seed in range(3)]  # of 500 images
    mean = sum(values) / 3
    cell = made.rows[0][3]
    assert made.rows[0][:3] == ["random", 500, 3]
    assert cell.mean == pytest.approx(mean)
    assert cell.sd == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)


@pytest.mark.parametrize(
    ("key", "values"), [("lr", (0.01, 0.1)), ("confusion", (0, 250)), ("model", ("vgg", "mlp"))]
)
def test_what_differs_beyond_the_seed_has_rows_of_its_own(key, values):
    """The key is a column then, and a note says so: A1.1's mean over confusion sets."""
    records = [network(seed=i, l2=1.0, **{key: v}) for i in range(3) for v in values]
    made = table(records, columns=["l2"], group_by=["recipe.labels"])
    assert made.columns == ["recipe.labels", f"recipe.{key}", "n", "l2"]
    assert column(made, "n") == [3, 3]
    assert any("differ in" in note and "seed alone" in note for note in made.notes)


def test_values_measured_with_different_settings_are_never_averaged():
    records = [network(seed=seed, l2=1.0) for seed in range(4)]
    for i, record in enumerate(records):
        record["margin"] = {"epsilon": 0.05 if i < 2 else 0.5}
    made = table(records, columns=["l2"], group_by=["recipe.labels"])
    assert sorted(column(made, "n")) == [2, 2]
    assert sorted(column(made, "epsilon")) == [0.05, 0.5]
    plain = table(records, columns=["l2"])
    assert any("l2 measured with different settings" in note for note in plain.notes)


def test_an_average_over_fewer_networks_than_its_row_is_told():
    records = [network(seed=seed, l2=1.0) for seed in range(3)]
    records.append(network(seed=0, sharpness=0.5))
    made = table(records, columns=["l2", "sharpness"], group_by=["recipe.labels"])
    assert isinstance(made.rows[0][3], Average)
    assert made.rows[0][3].n == 1
    assert "sharpness is known of fewer networks than n in 1 of 1 rows" in made.notes


def test_null_absent_and_large_values_are_told_apart():
    """Null with the reason of the file, absent with the command, large by its logarithm."""
    null, absent, large = (network(subset=size) for size in (1, 2, 3))
    null["measures"]["l2"] = null["log10"]["l2"] = None
    null["notes"] = ["l2: the margin gamma = -0.4 is not positive"]
    large["measures"]["l2"], large["log10"]["l2"] = None, 400.5
    made = table([null, absent, large], columns=["l2", "log10.l2"])
    assert column(made, "l2") == [NoValue.NULL, NoValue.ABSENT, Large(400.5)]
    assert [in_words(cell, 4) for cell in column(made, "l2")] == ["-", "", "3.162e400"]
    notes = "\n".join(made.notes)
    assert "no l2 in 1 of 3 rows (-): the margin gamma = -0.4 is not positive" in notes
    assert "l2 not measured in 1 of 3 rows (empty cells): gentool measure" in notes
    assert "l2 is larger than 1.8e308 in 1 of 3 rows" in notes
    assert "log10.l2" in table([null, absent, large]).columns  # by default


def test_a_reason_is_said_once_for_all_measures_and_networks_that_share_it():
    records = []
    for size in (1, 2, 3):
        records.append(network(subset=size))
        for key in ("l2", "spectral"):
            records[-1]["measures"][key] = records[-1]["log10"][key] = None
            records[-1]["notes"].append(f"{key}: gamma = -{size} is not positive")
    notes = table(records, columns=["l2", "spectral"]).notes
    assert notes == ["no l2, spectral in all 3 rows (-): gamma = -1 is not positive and the like"]


def test_a_search_that_was_cut_short_is_named():
    record = network(sharpness=0.5)
    record["sharpness"] = {"points": [{"alpha": 0.0005, "stopped": "time"}]}
    [note] = table([record], columns=["sharpness"]).notes
    assert note.startswith("sharpness cut short before the end in modelvgg-")


def test_layers_are_rows_and_the_files_of_a_network_fill_each_other():
    """As sharpness leaves out the operator norms that measure computes."""
    searched, measured = network(sharpness=0.5), network(l2=1.0)
    searched["layers"] = [{"name": "0", "spectral": 2.0, "spectral_operator": None}]
    measured["layers"] = [{"name": "0", "spectral": 2.0, "spectral_operator": 3.0}]
    for order in ([searched, measured], [measured, searched]):
        made = table(order, layers=True)
        norms = ["layer.spectral", "layer.spectral_operator"]
        assert made.columns == ["checkpoint.file", "layer.name", *norms]
        assert made.rows[0][1:] == ["0", 2.0, 3.0]


def test_layers_are_averaged_over_seeds_layer_by_layer():
    records = [network(seed=seed, l2=1.0) for seed in range(2)]
    for i, record in enumerate(records):
        record["layers"] = [{"name": "a", "spectral": 1.0 + i}, {"name": "b", "spectral": 5.0}]
    made = table(records, layers=True, columns=["layer.spectral"], group_by=["recipe.labels"])
    assert [row[:3] for row in made.rows] == [["true", "a", 2], ["true", "b", 2]]
    assert [row[3].mean for row in made.rows] == [1.5, 5.0]


def test_networks_of_one_file_name_are_told_apart_by_their_digests():
    records = [network(subset=None, seed=None, l2=float(i)) for i in (1, 2)]
    for i, record in enumerate(records):
        record["checkpoint"] = {"file": "model.pth", "sha256": str(i) * 64}
    assert table(records).columns[:2] == ["checkpoint.file", "checkpoint.sha256"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.901234, "0.9012"),
        (20197.5, "20198"),
        (248036.4, "2.48e5"),
        (5.92204e15, "5.922e15"),
        (1e-7, "1e-7"),
        (-0.25, "-0.25"),
        (0.0, "0"),
        (50000, "50000"),
        (9.99996e15, "1e16"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_rounded_and_short(value, text):
    assert number_in_words(value, 4) == text
