"""Print the tables of `gentool sharpness` on stderr, and the list of its measures."""

from collections.abc import Sequence

from gentool.cli.networks_table import names_of
from gentool.common.console import say
from gentool.common.json import Json
from gentool.common.tables import print_explanations, print_table
from gentool.records.cells import cell, has_value, in_words
from gentool.records.key_words import explanation, head

HEADS = {
    "α": "size of the box: each parameter w moves by at most α (|w| + 1)",
    "loss": "training loss of the network itself",
    "error": "its training error, a fraction",
    "sharpness": "largest rise of the training loss found in the box; a lower bound of the maximum",
    "first order": "the rise that the gradient at the network predicts",
    "upper bound": "proven bound of the rise, or the maximum itself with --exact; - for none",
    "error there": "training error at the worst point",
    "destroyed": "more than half of the images are wrong there: the rise measures the scale of the "
    "logits",
    "top class": "class predicted most at the worst point, and for which share of the images",
    "passes": "cost of the search, in passes over the training set",
}
EXPECTED = (
    "expected_sharpness_alpha",
    "expected_sharpness_kl",
    "expected_sharpness",
    "expected_sharpness_kl_at_alpha",
    "pac_bayes_bound",
    "pac_bayes_error_bound",
)
M_SHARPNESS = ("sharpness_m", "sharpness_m_l2")
FLATNESS = (
    "hessian_top_eigenvalue",
    "hessian_trace",
    "pac_bayes_sigma",
    "pac_bayes_sigma_magnitude",
    "pac_bayes_init",
    "pac_bayes_orig",
    "pac_bayes_magnitude_init",
    "pac_bayes_magnitude_orig",
    "sharpness_alpha",
    "sharpness_alpha_magnitude",
    "sharpness_init",
    "sharpness_orig",
    "sharpness_magnitude_init",
    "sharpness_magnitude_orig",
    "sharpness_magnitude",
)
_SAID_IN_THE_TABLE = ("sharpness_exact: not asked", "sharpness_interval_bound: known")
_DESTROYED = "the network is destroyed at the worst point"


def show_worst_cases(records: list[Json]) -> None:
    """Print the results of searches as one table, a row for each network and alpha.

    Below it the comparison of searches and the measures of --flatness, if they were asked for.
    """
    searched = [record for record in records if record.get("sharpness") is not None]
    if searched:
        names, title = names_of(searched)
        heads = ["network", *HEADS]
        rows = [
            {"network": name} | _point(record["sharpness"], point)
            for name, record in zip(names, searched, strict=True)
            for point in record["sharpness"]["points"]
        ]
        if len(searched) == 1:
            results = searched[0]["sharpness"]
            title = f"{names[0]}; before: loss {results['loss']:.6g}, error {results['error']:.4f}"
            heads = [head for head in heads if head not in ("network", "loss", "error")]
        if not any(row["destroyed"] for row in rows):
            heads.remove("destroyed")
        print_table(title, heads, [[row[head] for head in heads] for row in rows])
        print_explanations((head, HEADS.get(head, "")) for head in heads)
        for name, record in zip(names, searched, strict=True):
            _show_comparison(name, record["sharpness"]["points"])
    _show_values("m-sharpness", records, M_SHARPNESS)
    _show_values("flatness", records, FLATNESS)


def notes_to_say(record: Json) -> list[str]:
    """Return the notes of a record, without those on bounds that nobody asked for.

    That a network is destroyed has a column of the table.
    """
    return [
        note
        for note in record["notes"]
        if not note.startswith(_SAID_IN_THE_TABLE) and _DESTROYED not in note
    ]


def _point(results: Json, point: Json) -> dict[str, str]:
    """Return the cells of one search, by their heads."""
    bound = point["interval_bound"] if point["exact"] is None else point["exact"]
    return {
        "α": f"{point['alpha']:g}",
        "loss": f"{results['loss']:.4g}",
        "error": f"{results['error']:.4f}",
        "sharpness": _or_dash(point["rise"]),
        "first order": _or_dash(point["first_order"]),
        "upper bound": _or_dash(bound),
        "error there": f"{point['error']:.4f}",
        "destroyed": "yes" if point.get("destroyed") else "",
        "top class": f"{point['class']} ({point['class_fraction']:.0%})",
        "passes": f"{point['units']:.0f}",
    }


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _show_comparison(name: str, points: list[Json]) -> None:
    """Print the results of all searches at one cost: a column for each alpha."""
    if not any(point["compared"] for point in points):
        return
    searches = [[point, *point["compared"]] for point in points]
    rows = [
        [results[0]["method"], *(_or_dash(result["rise"]) for result in results)]
        for results in zip(*searches, strict=False)  # an interrupted comparison has fewer searches
    ]
    columns = [f"α {point['alpha']:g}, {point['units']:.0f} passes" for point in points]
    print_table(f"sharpness at equal cost: {name}", ["search", *columns], rows)


def _show_values(title: str, records: list[Json], keys: Sequence[str]) -> None:
    """Print the measures of these names that some record holds: a row a network, or a measure."""
    keys = [key for key in keys if any(key in record["measures"] for record in records)]
    if not keys:
        return
    if len(records) == 1:
        [record] = records
        rows = [[head(key), *_with_stderr(record, key), explanation(key)] for key in keys]
        heads = ["measure", "value", "±", "what it is"]
        print_table(title, heads, rows, ends_in_text=True)
        return
    names, common = names_of(records)
    rows = [
        [name, *(_with_stderr(record, key)[0] for key in keys)]
        for name, record in zip(names, records, strict=True)
    ]
    print_table(f"{title}: {common}", ["network", *map(head, keys)], rows)
    print_explanations((head(key), explanation(key)) for key in keys)


def _with_stderr(record: Json, key: str) -> list[str]:
    """Return a measure and its standard error, empty if it has none."""
    value, stderr = cell(record, key), cell(record, f"{key}_stderr")
    return [in_words(value, 6), in_words(stderr, 2) if has_value(stderr) else ""]


def print_list() -> None:
    """Print name, formula and source of every measure on stdout."""
    from gentool.sharpness.definitions import definitions

    for definition in definitions():
        print(
            f"{definition.name}\n    {definition.formula}\n    {definition.summary}\n"
            f"    {definition.source}"
        )


def show_expected(records: list[Json]) -> None:
    """Print the measures of expected sharpness: a row a network, or of one a row a measure."""
    for record in records:
        if len(records) == 1 and (sampled := record.get("expected_sharpness")):
            error = record["evaluation"]["train_error"]
            say(f"before: loss {sampled['loss']:.6g}, error {error:.4f}")
    title = str(records[0]["checkpoint"]["file"]) if len(records) == 1 else "expected sharpness"
    _show_values(title, records, EXPECTED)
