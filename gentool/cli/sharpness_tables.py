"""What people see of `gentool sharpness`: tables on stderr, and the list of its measures."""

from gentool.common.console import print_table, say
from gentool.common.json import Json


def show_found(record: "Json") -> None:
    """What was found at each alpha as a table, and the notes."""
    found = record.get("sharpness")
    if found is not None:
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
            for point in found["points"]
        ]
        columns = ["alpha", "sharpness", "linear", "at most", "error", "says", "passes"]
        print_table(record["checkpoint"]["file"], columns, rows)
        _show_comparison(found["points"])
    for note in record["notes"]:
        if not note.startswith(("sharpness_exact: not asked", "sharpness_interval_bound: known")):
            say(f"note: {note}")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _show_comparison(points: "list[Json]") -> None:
    """The searches at one cost: a column an alpha."""
    if not any(point["compared"] for point in points):
        return
    every = [[point, *point["compared"]] for point in points]
    rows = [
        [same[0]["method"], *(f"{one['rise']:.6g}" for one in same)]
        for same in zip(*every, strict=False)
    ]
    columns = [f"alpha {point['alpha']:g}: {point['units']:.0f} passes" for point in points]
    print_table("sharpness found at equal cost", ["search", *columns], rows)


def print_list() -> None:
    """Print name, formula and source of every measure: a result, and so on stdout."""
    from gentool.sharpness.definitions import definitions

    for one in definitions():
        print(f"{one.name}\n    {one.formula}\n    {one.summary}\n    {one.source}")


def show_expected(record: "Json") -> None:
    """The measures of a record, and its notes."""
    rows = [
        [name, "-" if value is None else f"{value:.6g}"]
        for name, value in record["measures"].items()
    ]
    print_table(record["checkpoint"]["file"], ["measure", "value"], rows)
    for note in record["notes"]:
        say(f"note: {note}")
