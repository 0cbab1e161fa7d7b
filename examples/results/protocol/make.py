"""Make the tables and the figures of README.md from the files beside this script.

    python examples/results/protocol/make.py

`networks/` holds the measure files of the protocol's networks, `figures/` those of Figures 1 and 2
beyond them. outcomes.jsonl holds recipe and outcome of networks that were trained, not measured.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import make as results  # noqa: E402

PAGE = HERE / "README.md"
NORMS = ("l2", "l1_path_maxpool", "l2_path_maxpool", "spectral")
PLACES = ("hidden", "conv", "all")
AT_0_01 = ("networks/*-hidden-*.loss0.01.measures.json", "figures/*-20000-*.measures.json")
FIGURES = {
    "figure1.png": ("--figure", "1", "--reference", *AT_0_01),
    "figure2.png": ("--figure", "2", "--reference", "figures/*.sharpness.json", "figures/*.exp*"),
    "growth.png": ("--figure", "growth", "networks/*-10000-*.json"),
}

Training = tuple[str, float, int, int]  # batch norm, dropout, size, seed


def networks() -> list[dict]:
    """Read the networks of the protocol, measured or not, with the name of their file."""
    measured = [
        json.loads(path.read_text("utf-8")) | {"network": path.name.removesuffix(".measures.json")}
        for path in sorted((HERE / "networks").glob("*.json"))
    ]
    lines = (HERE / "outcomes.jsonl").read_text("utf-8").splitlines()
    others = [network for network in map(json.loads, lines) if network["folder"] == "protocol"]
    return measured + others


def training_of(network: dict) -> Training:
    """Return what the networks of one table row share, but for labels and stop."""
    recipe = network["recipe"]
    place = {True: "conv"}.get(recipe["batch_norm"], recipe["batch_norm"])
    return place, recipe["dropout"], recipe["subset"], recipe["seed"]


def recipes_table() -> str:
    """Show each training at each stop: epochs, errors, and the gaps of the norms."""
    found: dict[tuple[Training, float], dict[str, dict]] = {}
    for network in networks():
        recipe = network["recipe"]
        key = training_of(network), recipe["stop_loss"]
        found.setdefault(key, {})[recipe["labels"]] = network

    def order(key: tuple[Training, float]) -> tuple:
        (place, dropout, size, seed), stop = key
        return dropout, seed, PLACES.index(place), size, -stop

    rows = []
    for key in sorted(found, key=order):
        (place, dropout, size, seed), stop = key
        pair = found[key]
        rows.append(
            (
                *(f"`{place}`", f"{dropout:g}", f"{size:,}", str(seed), f"{stop:g}"),
                both(pair, "epochs", str),
                both(pair, "train_error", lambda error: f"{100 * error:.2f}"),
                outcome(pair.get("true"), "test_error", lambda error: f"{error:.3f}"),
                *(gap(pair, norm) for norm in NORMS),
            )
        )
    head = ("batch norm", "dropout", "images", "seed", "loss below", "epochs", "training error, %")
    return results.table((*head, "test error", *(f"`{norm}`" for norm in NORMS)), rows)


def outcome(network: dict | None, key: str, write: "results.Callable") -> str:
    """Write a number of the outcome of a network, a dash if the network is missing."""
    return "–" if network is None else write(network["outcome"][key])


def both(pair: dict[str, dict], key: str, write: "results.Callable") -> str:
    """Write a number with true and with random labels."""
    return ", ".join(outcome(pair.get(labels), key, write) for labels in ("true", "random"))


def gap(pair: dict[str, dict], norm: str) -> str:
    """Write log10 of a norm with random labels less that with true labels."""
    values = [pair.get(labels, {}).get("log10", {}).get(norm) for labels in ("true", "random")]
    return "–" if None in values else f"{values[1] - values[0]:.2f}"


def claims_table() -> str:
    """Show the verdicts of the three places of batch norm, at the last stop."""
    judged = [verdicts([f"networks/*-norm-{place}-*seed0.measures.json"]) for place in PLACES]
    rows = (
        (
            f"{claim}: {results.CLAIMS[claim]}",
            f"`{key}`",
            *(v.get((claim, key), "–") for v in judged),
        )
        for claim, key in sorted({name for v in judged for name in v}, key=results.claim_order)
    )
    return results.table(("claim", "measure", *(f"`{place}`" for place in PLACES)), rows)


def verdicts(patterns: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return the verdict on each claim that some files beside this script can decide."""
    return results.verdicts(*(f"{HERE.name}/{pattern}" for pattern in patterns))


TABLES = {"recipes": recipes_table, "claims": claims_table}


def main() -> None:
    """Draw the figures and fill the tables of the page."""
    for name, arguments in FIGURES.items():
        options = [word for word in arguments if "/" not in word]
        patterns = [f"{HERE.name}/{word}" for word in arguments if "/" in word]
        files = results.files(patterns)
        results.gentool("plot", *options, *files, "--quiet", "--force", "-o", str(HERE / name))
    PAGE.write_text(results.page(PAGE.read_text("utf-8"), TABLES), "utf-8")


if __name__ == "__main__":
    main()
