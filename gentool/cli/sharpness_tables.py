"""Print the tables of `gentool sharpness` on stderr, and the list of its measures."""

from gentool.common.console import print_table, say
from gentool.common.json import Json


def show_worst_case(record: "Json") -> None:
    """Print the result at each alpha as a table, and the notes of the record."""
    results = record.get("sharpness")
    if results is not None:
        before = f"before: loss {results['loss']:.6g}, error {results['error']:.4f}"
        rows = [
            [
                f"{point['alpha']:g}",
                f"{point['rise']:.6g}",
                _or_dash(point["first_order"]),
                _or_dash(point["interval_bound"] if point["exact"] is None else point["exact"]),
                f"{point['error']:.4f}",
                f"{point['class']} ({point['class_fraction']:.0%})",
                f"{point['units']:.0f}",
            ]
            for point in results["points"]
        ]
        # In two lines: at 80 columns a wider head would fold the numbers of its neighbours.
        bounds = ["first\norder", "upper\nbound"]
        heads = ["alpha", "sharpness", *bounds, "error", "top\nclass", "passes"]
        print_table(f"{record['checkpoint']['file']}; {before}", heads, rows)
        _show_comparison(results["points"])
    for note in record["notes"]:
        if not note.startswith(("sharpness_exact: not asked", "sharpness_interval_bound: known")):
            say(f"note: {note}")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _show_comparison(points: "list[Json]") -> None:
    """Print the results of all searches at one cost: a column for each alpha."""
    if not any(point["compared"] for point in points):
        return
    searches = [[point, *point["compared"]] for point in points]
    rows = [
        [results[0]["method"], *(f"{result['rise']:.6g}" for result in results)]
        for results in zip(*searches, strict=False)  # an interrupted comparison has fewer searches
    ]
    columns = [f"alpha {point['alpha']:g}: {point['units']:.0f} passes" for point in points]
    print_table("sharpness at equal cost", ["search", *columns], rows)


def print_list() -> None:
    """Print name, formula and source of every measure on stdout."""
    from gentool.sharpness.definitions import definitions

    for definition in definitions():
        print(
            f"{definition.name}\n    {definition.formula}\n    {definition.summary}\n"
            f"    {definition.source}"
        )


def show_expected(record: "Json") -> None:
    """Print the measures of a record as a table, and its notes."""
    values = dict(record["measures"])
    if sampled := record.get("expected_sharpness"):
        values = {"loss before": sampled["loss"]} | values
        values = {"error before": record["evaluation"]["train_error"]} | values
    rows = [[name, "-" if value is None else f"{value:.6g}"] for name, value in values.items()]
    print_table(record["checkpoint"]["file"], ["measure", "value"], rows)
    for note in record["notes"]:
        say(f"note: {note}")
