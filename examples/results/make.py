"""Make the tables of README.md, the figures and runs.csv from the measure files beside this script.

    python examples/results/make.py

Each folder here holds the measure files of some networks; each network has one row in runs.csv. The
row stays when the folder is deleted: to retire runs, run this script, delete their folder and run
the script again. The text of README.md is written by hand, around the tables that are made here.
"""

import csv
import io
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
RUNS = HERE / "runs.csv"

FIGURES = {
    "figure1.png": ("--figure", "1", "--reference", "small/*.measures.json"),
    # Seeds 1 and 2 lack the sharpness of some sizes: a mean would mix different seeds.
    "figure2.png": ("--figure", "2", "--reference", "small/*-seed0.[se]*.json"),
    "figure3.png": ("--figure", "3", "small/*.json"),
    "figure4.png": ("--figure", "4", "--reference", "mlp/*.json"),
    "figure1-paper.png": ("--figure", "1", "--reference", "paper/*.measures.json"),
    "figure3-paper.png": ("--figure", "3", "paper/*.json"),
}

NORMS = ("l2", "l1_path", "l2_path", "spectral")
DISTANCES = ("spectral_complexity_distance", "distance_frobenius")
LOGARITHMS = (*NORMS, "l1_path_maxpool", "l2_path_maxpool", *DISTANCES)
EXPECTED = ("expected_sharpness_kl", "expected_sharpness_kl_stderr", "expected_sharpness_alpha")
ERRORS = ("train_error", "confusion_error", "test_error", "train_loss")
COLUMNS = (
    *("folder", "files", "model", "width", "data", "labels", "size", "confusion", "hidden", "seed"),
    *("options", "epochs", *ERRORS, "margin"),
    *(f"log10_{name}" for name in LOGARITHMS),
    *("sharpness", *EXPECTED),
)

# Training options that runs.csv names only if they differ from these.
USUAL = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "schedule": "on-stall",
    "epochs": 500,
    "patience": 30,
    "precision": "float32",
    "stop_loss": 0.01,
}

CLAIMS = {
    "1a": "is larger with random labels",
    "1b": "differs more, the more images",
    "2": "is lower with random labels at small sizes",
    "3a": "is larger with random labels at the same KL",
    "3b": "spreads more with random labels",
    "4a": "rises with the confusion set",
    "4b": "rises with the confusion set",
    "4c": "does not rise with the confusion set",
    "4d": "rises with the confusion set",
    "5a": "falls past the width that fits",
    "5b": "falls to 128 units, then rises",
    "5c": "falls with the width",
}

RANKED = (
    *(*NORMS, "spectral_complexity", "distance_frobenius", "pac_bayes_bound"),
    *("expected_sharpness_kl", "sharpness", "inverse_margin", "parameters"),
)

Row = Mapping[str, str]
Pair = tuple[Row, Row]  # networks on true and on random labels, the same otherwise


# runs.csv


def networks() -> list[Row]:
    """Read the rows of all networks that have measure files here."""
    records: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for path in sorted(HERE.glob("*/*.json")):
        network = path.name.rsplit(".", 2)[0]  # less .measures.json and the like
        records[path.parent.name, network].append(json.loads(path.read_text("utf-8")))
    return [row(folder, kinds) for (folder, _), kinds in records.items()]


def row(folder: str, records: list[dict]) -> Row:
    """Collect the measure files of one network into one row."""
    recipe, outcome = records[0]["recipe"], records[0]["outcome"]
    measures = {name: value for record in records for name, value in record["measures"].items()}
    log10 = {name: value for record in records for name, value in record["log10"].items()}
    cells = {
        "folder": folder,
        "files": "kept",
        **{key: recipe[key] for key in ("model", "width", "labels", "confusion", "hidden", "seed")},
        "data": recipe["data"].removeprefix("folder:"),
        "size": recipe["subset"],
        "options": options(recipe),
        **{key: outcome[key] for key in ("epochs", *ERRORS)},
        **{f"log10_{name}": log10.get(name) for name in LOGARITHMS},
        **{name: measures.get(name) for name in ("margin", "sharpness", *EXPECTED)},
    }
    return {column: "" if cells[column] is None else str(cells[column]) for column in COLUMNS}


def options(recipe: dict) -> str:
    """Name the training options in which runs differ, as `lr=0.06 batch_size=256 warmup=5`."""
    named = {key: recipe[key] for key in ("lr", "batch_size", "warmup")}
    if recipe["model"] == "mlp":
        named["init"] = recipe.get("init") or "he"  # older files do not name their default
    named |= {key: recipe[key] for key, usual in USUAL.items() if recipe[key] not in (usual, None)}
    return " ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in named.items()
    )


def runs() -> list[Row]:
    """List all runs: rows made from files, then rows of runs.csv whose files are gone."""
    kept = networks()
    folders = {row["folder"] for row in kept}
    gone = [row | {"files": "dropped"} for row in recorded() if row["folder"] not in folders]
    return sorted(kept, key=order) + sorted(gone, key=order)


def recorded() -> list[dict[str, str]]:
    """Read runs.csv as it stands."""
    if not RUNS.exists():
        return []
    with RUNS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def order(row: Row) -> tuple[str | int, ...]:
    """Sort by folder and model, then true before random labels, sizes as numbers."""
    sizes = (int(row[key] or 0) for key in ("size", "confusion", "hidden", "seed"))
    return (row["folder"], row["model"], row["labels"] != "true", *sizes)


def as_csv(rows: Iterable[Row]) -> str:
    """Write rows as the text of runs.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# Runs compared


def pairs(rows: list[Row]) -> list[Pair]:
    """Pair each VGG on true labels with the one on random labels of the same run and size."""
    true, random = (
        {
            (row["folder"], row["seed"], row["size"]): row
            for row in rows
            if row["model"] == "vgg" and row["confusion"] == "0" and row["labels"] == labels
        }
        for labels in ("true", "random")
    )
    return [(true[key], random[key]) for key in true if key in random]


def gap(pair: Pair, measure: str) -> float:
    """Subtract log10 of a measure with true labels from that with random labels."""
    true, random = pair
    return float(random[f"log10_{measure}"]) - float(true[f"log10_{measure}"])


def recipes(rows: Iterable[Row]) -> dict[str, list[Pair]]:
    """Group the pairs of the small scale by training options, most runs first."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for true, random in pairs([row for row in rows if row["width"] == "0.25"]):
        groups[true["options"]].append((true, random))
    return dict(sorted(groups.items(), key=lambda group: -len(names(group[1]))))


def names(group: list[Pair]) -> list[tuple[str, str]]:
    """Name the runs of a group by folder and seed."""
    return sorted({(true["folder"], true["seed"]) for true, _ in group})


# The tables of README.md


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def report(patterns: Iterable[str], measures: Iterable[str], resamples: int) -> dict:
    """Run `gentool claims` on some files: its verdicts, and the correlations of some measures."""
    ranked = (word for measure in measures for word in ("--measure", measure))
    options = (*ranked, "--bootstrap", str(resamples), "--quiet", "-o", "-")
    return json.loads(gentool("claims", *files(patterns), *options))


def claims_table() -> str:
    """Show the verdicts at the small and at the paper's scale side by side."""
    scales = [
        verdicts("small/*.json"),
        verdicts("paper/*.json", "mlp/*.json"),
        verdicts("protocol/networks/*-norm-conv-*seed0.measures.json"),
    ]
    judged = sorted({name for scale in scales for name in scale}, key=claim_order)
    rows = (
        (f"{id}: {CLAIMS[id]}", f"`{key}`", *(scale.get((id, key), "–") for scale in scales))
        for id, key in judged
    )
    heads = ("small scale, three seeds", "paper's scale, one seed", "the same, `--recipe paper`")
    return table(("claim", "measure", *heads), rows)


def claim_order(name: tuple[str, str]) -> tuple[str, int]:
    """Sort claims by number, and norms as the paper lists them."""
    claim, key = name
    return claim, NORMS.index(key) if key in NORMS else 0


def verdicts(*patterns: str) -> dict[tuple[str, str], str]:
    """Return the verdict on each claim that the files can decide, with its numbers."""
    return {
        (claim["claim"], claim["key"]): f"{emphasis(claim['verdict'])}: {claim['numbers']}"
        for claim in report(patterns, ("l2",), 0)["claims"]
        if claim["verdict"] != "cannot be judged"
    }


def emphasis(verdict: str) -> str:
    """Set a verdict in bold where the claim fails."""
    return f"**{verdict}**" if verdict == "fails" else verdict


def variation_table() -> str:
    """Show the lowest and the highest gap of any run at any size, a row for each recipe."""
    rows = []
    for name, group in recipes(runs()).items():
        gaps = ([gap(pair, norm) for pair in group] for norm in NORMS)
        ranges = (f"{min(values):.2f} to {max(values):.2f}" for values in gaps)
        rows.append((f"`{name}`", str(len(names(group))), *ranges))
    return table(("training options", "runs", *(f"`{norm}`" for norm in NORMS)), rows)


def paper_table() -> str:
    """Show epochs and gaps at the paper's scale, a row for each size."""
    measures = (*NORMS, *DISTANCES)
    rows = (
        (
            f"{int(true['size']):,}",
            f"{true['epochs']}, {random['epochs']}",
            *(f"{gap((true, random), measure):.2f}" for measure in measures),
        )
        for true, random in pairs([row for row in runs() if row["folder"] == "paper"])
    )
    head = ("images", "epochs, true and random", *(f"`{measure}`" for measure in measures))
    return table(head, rows)


def kendall_table() -> str:
    """Show how measures rank networks by generalization gap, the best measure first."""
    ranks = report(("small/*.json", "mlp/*.json"), RANKED, 1000)["kendall"]
    rows = (
        (
            f"`{rank['measure']}`",
            f"{rank['tau']:.2f}",
            "{:.2f} to {:.2f}".format(*rank["interval"]),
            f"{rank['granulated']:.2f}",
            str(rank["networks"]),
        )
        for rank in sorted(ranks, key=lambda rank: -rank["tau"])
    )
    return table(("measure", "τ", "95 % interval", "granulated Ψ", "networks"), rows)


def width_table() -> str:
    """Show log10 of the spectral measure of MLPs that fit, a column for each recipe."""
    columns: dict[str, dict[int, str]] = defaultdict(dict)
    for row in runs():
        if row["model"] == "mlp" and float(row["train_error"]) == 0:
            columns[row["options"]][int(row["hidden"])] = f"{float(row['log10_spectral']):.2f}"
    widths = sorted({width for column in columns.values() for width in column})
    rows = (
        (f"{width:,}", *(column.get(width, "not run") for column in columns.values()))
        for width in widths
    )
    shared = set.intersection(*(set(name.split()) for name in columns))
    heads = (" ".join(word for word in name.split() if word not in shared) for name in columns)
    return table(("units", *(f"`{head}`" for head in heads)), rows)


TABLES: dict[str, Callable[[], str]] = {
    "claims": claims_table,
    "variation": variation_table,
    "paper": paper_table,
    "kendall": kendall_table,
    "width": width_table,
}


def page(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """Fill each block `<!-- made: NAME -->` to `<!-- end -->` of a page with its table."""
    return re.sub(
        r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)",
        lambda block: f"{block[1]}\n{tables[block[2]]()}\n\n{block[3]}",
        text,
        flags=re.DOTALL,
    )


# The figures

COLOURS = ("#009E73", "#AA4499", "#DDAA33", "#555555")
MARKERS = "osD^"


def variation_figure() -> Figure:
    """Draw the gaps of all runs at the small scale against the number of images, a panel a norm."""
    groups = recipes(runs())
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for axes, norm in zip(panels.flat, NORMS, strict=True):
        gap_panel(axes, groups, norm)
    for axes in panels[:, 0]:
        axes.set_ylabel("log10 random − log10 true")
    for axes in panels[1]:
        axes.set_xlabel("training images")
    figure.suptitle("Each mark is one run, each line the mean of a recipe", fontsize=12)
    marks, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(marks, labels, loc="outside lower center", ncols=len(groups), frameon=False)
    return figure


def gap_panel(axes: Axes, groups: Mapping[str, list[Pair]], norm: str) -> None:
    """Draw one norm: the recipes beside each other at each number of images."""
    sizes = sorted({int(true["size"]) for group in groups.values() for true, _ in group})
    for index, (name, group) in enumerate(groups.items()):
        centre = 0.28 * (index - (len(groups) - 1) / 2)
        places = [sizes.index(int(true["size"])) + centre for true, _ in group]
        axes.scatter(
            [place + jitter(pair, group) for place, pair in zip(places, group, strict=True)],
            [gap(pair, norm) for pair in group],
            s=36,
            color=COLOURS[index],
            marker=MARKERS[index],
            edgecolor="white",
            linewidth=0.6,
            zorder=3,
            label=f"{name.replace('_size', '').replace('=', ' ')} ({len(names(group))} runs)",
        )
        means = [mean_gap(group, true["size"], norm) for true, _ in group]
        left, right = ([place + side for place in places] for side in (-0.12, 0.12))
        axes.hlines(means, left, right, COLOURS[index], linewidth=1.5, zorder=2)
    axes.set_ylim(bottom=min(axes.get_ylim()[0], -0.25))
    axes.axhspan(axes.get_ylim()[0], 0, color="0.93", zorder=0)
    axes.axhline(0, color="0.3", linewidth=1, zorder=1)
    axes.text(
        0.01, 0.02, "smaller with random labels", transform=axes.transAxes, color="0.4", size=9
    )
    axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axes.set_title(norm)
    axes.spines[["top", "right"]].set_visible(False)


def jitter(pair: Pair, group: list[Pair]) -> float:
    """Shift each run of a group sideways by its own small step, so that no mark hides another."""
    runs = names(group)
    return 0.05 * (runs.index((pair[0]["folder"], pair[0]["seed"])) - (len(runs) - 1) / 2)


def mean_gap(group: list[Pair], size: str, norm: str) -> float:
    """Average the gap of a norm over the runs of a group at one size."""
    gaps = [gap(pair, norm) for pair in group if pair[0]["size"] == size]
    return sum(gaps) / len(gaps)


# The command


def files(patterns: Iterable[str]) -> list[str]:
    """List the files here that fit some patterns."""
    return [str(path) for pattern in patterns for path in sorted(HERE.glob(pattern))]


def gentool(*arguments: str) -> str:
    """Run a gentool command and return what it prints."""
    command = [sys.executable, "-m", "gentool", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Write runs.csv, then the figures, then the page."""
    RUNS.write_text(as_csv(runs()), "utf-8")
    for name, (*arguments, pattern) in FIGURES.items():
        gentool("plot", *arguments, *files([pattern]), "--quiet", "--force", "-o", str(HERE / name))
    variation_figure().savefig(HERE / "variation.png", dpi=150)
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
