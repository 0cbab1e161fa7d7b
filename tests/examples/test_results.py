"""examples/results: its files fit the schema; runs.csv and the page agree with them."""

import importlib.util
import json
import re
import shutil
from importlib import resources
from itertools import combinations, pairwise
from pathlib import Path
from statistics import mean

import pytest
from helpers.paper_values import NORMS as NORMS_OF_PAPER
from helpers.paper_values import SIZES as SIZES_OF_PAPER
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "examples" / "results"
PAGE = (RESULTS / "README.md").read_text("utf-8")
PROSE = " ".join(PAGE.split())
FILES = sorted(RESULTS.glob("*/*.json"))
NORMS = ("l2", "l1_path", "l2_path", "spectral")
EVERY_NORM = pytest.mark.parametrize("norm", NORMS)


def module(path):
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


make = module(RESULTS / "make.py")
RUNS = make.recorded()


def select(**cells):
    """Return the rows of runs.csv with these cells, in order of size and confusion set."""
    return [row for row in RUNS if all(row[key] in value for key, value in cells.items())]


def values(rows, column):
    return [float(row[column]) for row in rows]


def seeds(**cells):
    """Return a list of rows for each seed of the small scale."""
    return [select(folder=("small",), seed=(seed,), **cells) for seed in "012"]


def gaps(norm, **cells):
    """Return log10 of a norm with random labels less that with true ones, by run and size."""
    true = select(model=("vgg",), labels=("true",), confusion=("0",), **cells)
    random = select(model=("vgg",), labels=("random",), **cells)
    differences = {}
    for row in random:
        run = (row["folder"], row["seed"], int(row["size"]))
        [match] = [r for r in true if (r["folder"], r["seed"], int(r["size"])) == run]
        differences[run] = float(row[f"log10_{norm}"]) - float(match[f"log10_{norm}"])
    return differences


def rising_pairs(numbers):
    return sum(later > earlier for earlier, later in combinations(numbers, 2))


def text_range(numbers, digits=1):
    return f"{min(numbers):.{digits}f} to {max(numbers):.{digits}f}"


# The files, the list of runs and the generated tables


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_measure_file_fits_the_schema_and_holds_no_path(path):
    """No path of the machine that made it: data folders are named without theirs."""
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    text = path.read_text("utf-8")
    Draft202012Validator(schema).validate(json.loads(text))
    assert '"/' not in text
    assert "folder:/" not in text


def test_runs_csv_is_made_from_the_files():
    assert make.as_csv(make.runs()) == make.RUNS.read_text("utf-8")


def test_a_row_has_the_numbers_of_its_measure_files():
    """To the last digit, for each file that is kept; no kept row is without a file."""
    kept = {}
    for row in select(files=("kept",)):
        key = ("labels", "size", "confusion", "hidden", "seed")
        kept[row["folder"], *(row[name] for name in key)] = row
    seen = set()
    for path in FILES:
        record = json.loads(path.read_text("utf-8"))
        recipe = record["recipe"]
        key = [recipe[name] for name in ("labels", "subset", "confusion", "hidden", "seed")]
        key = (path.parent.name, *("" if cell is None else str(cell) for cell in key))
        seen.add(key)
        numbers = record["measures"] | record["outcome"]
        numbers |= {f"log10_{name}": value for name, value in record["log10"].items()}
        for name in kept[key].keys() & numbers.keys():
            cell = kept[key][name]
            assert numbers[name] == (float(cell) if cell else None), (path.name, name)
    assert seen == kept.keys()


def test_a_row_stays_when_its_files_are_gone(tmp_path, monkeypatch):
    """Marked as dropped, and otherwise as it was."""
    monkeypatch.setattr(make, "HERE", tmp_path)
    monkeypatch.setattr(make, "RUNS", tmp_path / "runs.csv")
    (tmp_path / "old").mkdir()
    shutil.copy(FILES[0], tmp_path / "old")
    [before] = make.runs()
    make.RUNS.write_text(make.as_csv([before]), "utf-8")
    shutil.rmtree(tmp_path / "old")
    assert make.runs() == [before | {"files": "dropped"}]


def test_the_tables_of_the_page_are_made_from_the_files():
    """make.py turns the page with empty tables into the page as it is."""
    block = re.compile(r"(<!-- made: \w+ -->\n).*?(<!-- end -->)", re.DOTALL)
    emptied, count = block.subn(r"\1\2", PAGE)
    assert count == len(make.TABLES)
    assert make.page(emptied) == PAGE


def test_the_figures_are_there():
    for name in (*make.FIGURES, "variation.png"):
        assert f"({name})" in PAGE
        assert (RESULTS / name).stat().st_size > 50_000


# The numbers in the prose


def test_how_many_networks_there_are():
    kept = select(files=("kept",))
    dropped = {row["folder"] for row in RUNS} - {row["folder"] for row in kept}
    assert f"a row for each of {len(RUNS)} networks. {len(kept)} of them have their files" in PROSE
    assert f"Of the other {len(RUNS) - len(kept)} the row is all that is kept" in PROSE
    assert all(f"`{folder}`" in PAGE.rsplit("the row is all", 1)[1] for folder in dropped)
    assert f"All {len(select(folder=('paper',)))} networks fit." in PAGE


def test_all_networks_fit_but_the_two_narrowest():
    """No training error, a loss below 0.01; VGG-16 is no part of the figures."""
    missed = [
        (row["folder"], row["hidden"])
        for row in select(folder=("small", "mlp", "paper"))
        if float(row["train_error"]) or float(row["train_loss"]) >= 0.01
        or float(row["confusion_error"] or 0)
    ]  # fmt: skip
    assert missed == [("mlp", "8"), ("mlp", "16")]


@pytest.mark.parametrize("norm", [*NORMS, "l1_path_maxpool", "l2_path_maxpool"])
def test_figure_1_each_seed_has_larger_norms_with_random_labels(norm):
    assert min(gaps(norm, folder=("small",)).values()) > 0


def test_figure_1_means_over_seeds():
    """l2 and l1-path fall with the size; the gap of l2-path rises, by both readings."""
    for norm in ("l2", "l1_path", "l1_path_maxpool"):
        for labels in ("true", "random"):
            runs = seeds(labels=(labels,), confusion=("0",))
            assert rising_pairs(means(runs, f"log10_{norm}")) == 0
    for norm, words in (
        ("l2_path_maxpool", "The mean gap of l2-path grows from {:.1f} to {:.1f} in log10;"),
        ("l2_path", "by sums over the pooling's inputs it grows from {:.1f} to {:.1f}."),
    ):
        gap = gaps(norm, folder=("small",)).items()
        steps = [mean(v for run, v in gap if run[2] == n) for n in (500, 1000, 2000, 4000)]
        assert rising_pairs(steps) == 6
        assert words.format(steps[0], steps[-1]) in PROSE


def means(runs, column):
    """Return the mean over seeds at each size."""
    return [mean(column) for column in zip(*(values(rows, column) for rows in runs), strict=True)]


def test_figure_2_sharpness_of_seed_0():
    """Higher with random labels up to 2,000 images, lower at 4,000."""
    [true, *_], [random, *_] = (
        seeds(labels=(labels,), confusion=("0",)) for labels in ("true", "random")
    )
    true, random = values(true, "sharpness"), values(random, "sharpness")
    assert [r > t for t, r in zip(true, random, strict=True)] == [True, True, True, False]
    assert f"({random[-1]:.1f} against {true[-1]:.1f})" in PAGE


def test_figure_3_means_over_seeds():
    """Norms and KL rise at every step, sharpness does not."""
    runs = seeds(labels=("true",), size=("2000",))
    norms = (*NORMS, "l1_path_maxpool", "l2_path_maxpool")
    columns = [f"log10_{norm}" for norm in norms] + ["expected_sharpness_kl"]
    assert all(rising_pairs(means(runs, column)) == 10 for column in columns)
    steps = [later > earlier for earlier, later in pairwise(means(runs, "sharpness"))]
    assert set(steps) == {True, False}


@EVERY_NORM
def test_confusion_sets_run_by_run(norm):
    """Ten of ten pairs rise in seeds 1 and 2 at a rate of 0.06, fewer in both runs at 0.04."""
    pairs = {}
    for folder, seed in (("small", "1"), ("small", "2"), ("default", "0"), ("default-seed1", "1")):
        rows = select(folder=(folder,), seed=(seed,), labels=("true",), size=("2000",))
        pairs[folder, seed] = rising_pairs(values(rows, f"log10_{norm}"))
    assert pairs.pop(("small", "1")) == pairs.pop(("small", "2")) == 10
    assert max(pairs.values()) < 10


def test_which_runs_have_smaller_norms_with_random_labels():
    """None at 0.06; one at 0.04 and one of the earlier default, with 2,000 images."""
    smaller = {
        (run, norm) for norm in NORMS for run, v in gaps(norm, width=("0.25",)).items() if v < 0
    }
    default, earlier = ("default-again", "0", 2000), ("batch64-again", "0", 2000)
    assert smaller == {
        *((default, norm) for norm in ("l2", "l1_path", "spectral")),
        *((earlier, norm) for norm in ("l2", "l1_path")),
    }


def test_the_slowest_run_at_the_higher_rate():
    """Its epochs, those of the others, and its gap of spectral, the highest of all."""
    rows = select(folder=("small", "vgg-again"), labels=("random",), size=("500",))
    *others, slowest = sorted(int(row["epochs"]) for row in rows)
    assert f"took {slowest} epochs, the others {others[0]} to {others[-1]}." in PROSE
    differences = gaps("spectral", width=("0.25",))
    assert max(differences, key=differences.get) == ("vgg-again", "0", 500)
    assert f"is the highest, {max(differences.values()):.2f}." in PROSE


def test_how_far_three_seeds_differ():
    for norm, words in (("l2", "in the gap of l2, and"), ("spectral", "in that of `spectral`")):
        differences = gaps(norm, folder=("small",)).items()
        groups = [[v for run, v in differences if run[2] == n] for n in (500, 1000, 2000, 4000)]
        assert f"by {text_range([max(g) - min(g) for g in groups])} {words}" in PROSE


def test_sharpness_at_the_small_sizes():
    """Of three seeds higher with random labels; with the earlier default mostly lower."""
    small = {"folder": ("small",), "confusion": ("0",)}
    ranges = [
        text_range(values(select(**small, labels=(k,), size=(n,)), "sharpness"))
        for n in ("500", "1000")
        for k in ("true", "random")
    ]
    assert "is {} with true labels, {} with random ones.".format(*ranges) in PROSE
    assert "With 1,000 it is {} and {}.".format(*ranges[2:]) in PROSE
    lower = 0
    for folder in ("batch64", "batch64-again"):
        true, random = (
            values(select(folder=(folder,), labels=(k,), confusion=("0",)), "sharpness")
            for k in ("true", "random")
        )
        lower += sum(r < t for t, r in zip(true, random, strict=True))
    assert lower == 7
    assert "lower with random labels in seven of eight pairs" in PROSE


def test_the_papers_scale():
    """Norms fall with the size; sharpness rises with the confusion set."""
    for labels in ("true", "random"):
        for norm in ("l2", "l1_path"):
            for name in (norm, f"{norm}_unnormalized"):
                first, last = (
                    json.loads((RESULTS / f"paper/vgg-width1.0-cifar10-jpeg-{labels}-{size}-seed0"
                                ".measures.json").read_text("utf-8"))["log10"][name]
                    for size in (5000, 50000)
                )  # fmt: skip
                assert last < first
    confusion = values(select(folder=("paper",), labels=("true",), size=("10000",)), "sharpness")
    assert rising_pairs(confusion) == 15
    assert f"in all 15 pairs ({text_range(confusion)})" in PROSE
    [random] = [row for row in select(folder=("paper",), labels=("random",)) if row["sharpness"]]
    assert random["size"] == "50000"
    assert f"({float(random['sharpness']):.1f}; {confusion[0]:.1f} with 10,000" in PROSE


def test_the_papers_scale_beside_the_papers_values():
    """How far log10 of ours lies below the paper's, on one axis of the figure."""
    below = {}
    for norm in ("l2", "spectral"):
        for labels in ("true", "random"):
            ours = select(folder=("paper",), labels=(labels,), confusion=("0",))
            of_paper = NORMS_OF_PAPER[norm][labels]
            assert [int(row["size"]) for row in ours] == list(SIZES_OF_PAPER)
            pairs = zip(of_paper, values(ours, f"log10_{norm}"), strict=True)
            below[norm, labels] = [theirs - log for theirs, log in pairs]
    assert max(abs(below["l2", labels][0]) for labels in ("true", "random")) < 0.35
    ends = [below["l2", labels][-1] for labels in ("true", "random")]
    assert "ends {:.1f} (true labels) and {:.1f} (random) below".format(*ends) in PROSE
    spectral = below["spectral", "true"] + below["spectral", "random"]
    assert f"`spectral` is {text_range(spectral)} below at all sizes" in PROSE


def test_mlps_with_hes_initial_weights():
    """Spectral falls to 512 units and then rises; at the constant rate 5b fails at 64 units."""
    for folder in ("he", "recipe"):
        rows = [row for row in select(folder=(folder,)) if float(row["train_error"]) == 0]
        spectral = values(rows, "log10_spectral")
        lowest = spectral.index(min(spectral))
        assert rows[lowest]["hidden"] == "512"
        assert spectral == sorted(spectral[:lowest], reverse=True) + sorted(spectral[lowest:])
    [narrow], [wide] = (select(folder=("recipe",), hidden=(h,)) for h in ("64", "128"))
    assert all(float(narrow[f"log10_{k}"]) < float(wide[f"log10_{k}"]) for k in ("l2", "l1_path"))


def test_the_times():
    """Seconds of the searches, as their files have them."""
    small = "small/*-seed0"
    assert f"| {sum(seconds(f'{small}.sharpness.json')):.0f} s, twelve networks |" in PAGE
    assert f"| {sum(seconds(f'{small}.expected.json')):.0f} s, twelve networks |" in PAGE
    worst, expected = seconds("mlp/*.sharpness.json"), seconds("mlp/*.expected.json")
    assert f"| {worst[0]:.0f} s (8 units) to {worst[-1]:.0f} s (8,192) |" in PAGE
    assert f"| {expected[0]:.0f} s to {expected[-1]:.0f} s |" in PAGE
    *most, last = seconds("paper/*.sharpness.json")
    assert f"| {most[0]:.0f} to {most[-1]:.0f} s on 10,000 to 15,000 images, {last:.0f} s" in PAGE
    expected = seconds("paper/*.expected.json")
    assert f"| {expected[0]:.0f} to {expected[-1]:.0f} s |" in PAGE


def seconds(pattern):
    """Return how long the networks took, the quickest first."""
    return sorted(json.loads(path.read_text("utf-8"))["seconds"] for path in RESULTS.glob(pattern))
