"""Prepare a chart of any measures against any key of the measure files. No torch.

Values that span decades are drawn through their log10, so that one too large for a float has its
place too.
"""

from dataclasses import replace

from gentool.common.errors import GentoolError
from gentool.common.json import is_number
from gentool.figures import averages, series, style
from gentool.figures.legend import label_order
from gentool.figures.lines import divide, is_averaged, is_of_others
from gentool.figures.sheet import Axis, Layout, Panel, Sheet
from gentool.records.averaging import seed_groups
from gentool.records.measure_facts import with_groups
from gentool.records.measure_file import Record, check_key, known_keys, log10_of, lookup

X_KEYS = ("recipe.subset", "recipe.hidden", "recipe.confusion", "recipe.width", "recipe.depth")
Y_KEYS = ("l2", "l1_path", "l2_path", "spectral", "sharpness")
LEAST_RATIO = 4  # of the ends of a logarithmic x axis
LAYOUT = Layout(panel_width=4.2, panel_height=3.2, marker_size=6, cap_size=2)


def chart(
    records: list[Record],
    x: str | None = None,
    ys: list[str] | None = None,
    by: str | None = None,
    errorbar: str | None = None,
) -> Sheet:
    """Prepare panels of `ys` against `x`, one curve for each value of `by`.

    Values are averaged over the seed alone: networks that differ in any other field of their
    recipe, or were measured with other settings, have curves of their own, named by the keys. Where
    x is no field of the recipe each network is a point. On a log axis the average is of logarithms
    (a geometric mean). `errorbar` is a name of `records.averaging.ERRORBARS`; None draws the
    standard deviation of three seeds or more, and all points of fewer.

    Keys that are None are chosen: as x the size that varies most, as by the labels if they vary, as
    ys the paper's measures. `ys` may name groups, as "@norms". `by` may be several keys with commas
    between them.

    Raise UsageError for a key that no record has, GentoolError if there is nothing to draw.
    """
    ys = None if ys is None else with_groups(ys, known_keys(records))
    x, ys, bys = _keys(records, x, ys, by)
    places, categories = _places(records, x)
    placed = [record for record in records if id(record) in places]
    ends = min(places.values()), max(places.values())
    x_is_log = not categories and ends[0] > 0 and ends[1] >= LEAST_RATIO * ends[0]
    notes = [note for y in ys if (note := _missing(placed, y))]
    if len(placed) < len(records):
        notes.append(f"{len(records) - len(placed)} of {len(records)} files have no {x}")
    y_is_log = {y: _is_log(placed, y) for y in ys}
    lines, differing = divide(placed, x, ys, bys)
    if not lines:
        raise GentoolError("nothing to draw: " + "; ".join(notes))
    looks = style.looks([line.look for line in lines])
    dashes = style.dashes([line.look for line in lines])
    panels = []
    for y in ys:
        value = averages.value_of(y, is_log=y_is_log[y])
        curves = []
        for line, look, dash in zip(lines, looks, dashes, strict=True):
            groups = line.groups.get(y, [])
            points = averages.of_groups(groups, lambda record: places[id(record)], value)
            is_scatter = not is_averaged(x) or any(map(is_of_others, groups))
            drawn = averages.curves(points, line.label, *look, errorbar)
            curves += [replace(curve, dash=dash, is_scatter=is_scatter) for curve in drawn]
        x_axis = _x_axis(x, categories, is_log=x_is_log)
        y_axis = Axis(style.words(y), "log10" if y_is_log[y] else "linear")
        messages = [] if curves else ["no values"]
        panels.append(Panel("", x_axis, y_axis, curves, messages=messages))
    settings = averages.settings_in_words(placed, ys)
    return Sheet(
        panels,
        "; ".join(filter(None, [averages.words(panels, errorbar), settings])),
        columns=3 if len(panels) <= 3 else 2,
        legends="figure" if bys or len(lines) > 1 else "none",
        legend_title=", ".join(map(style.words, bys)) or None,
        layout=LAYOUT,
        notes=notes + differing,
    )


def _keys(
    records: list[Record], x: str | None, ys: list[str] | None, by: str | None
) -> tuple[str, list[str], list[str]]:
    """Return x, ys and bys, chosen where they are None; raise if no record has one of them."""
    x = x or _chosen_x(records)
    is_free = by is None and x != "recipe.labels"
    if is_free and len({str(lookup(record, "recipe.labels")) for record in records}) > 1:
        by = "recipe.labels"
    bys = [key.strip() for key in by.split(",")] if by else []
    ys = ys or [
        key for key in Y_KEYS if any(log10_of(record, key) is not None for record in records)
    ]
    if not ys:
        raise GentoolError(
            "none of these files holds one of the paper's measures; name a key with --y"
        )
    for key in (x, *ys, *bys):
        check_key(records, key)
    return x, ys, bys


def _chosen_x(records: list[Record]) -> str:
    """Return the size that varies most; the file if none does and no two may be averaged."""
    sizes = {key: {lookup(record, key) for record in records} - {None} for key in X_KEYS}
    x = max(X_KEYS, key=lambda key: len(sizes[key]))
    is_alone = len(seed_groups(records)) == len(records) > 1
    return "checkpoint.file" if is_alone and len(sizes[x]) < 2 else x


def _places(records: list[Record], x: str) -> tuple[dict[int, float], list[str]]:
    """Return the x of each record that has one, by its id, and the categories if x is no number.

    Categories have the places 0, 1, ... on the axis.
    """
    values = {id(r): value for r in records if (value := lookup(r, x)) is not None}
    if not values:
        raise GentoolError(f"none of these files has a value of {x}")
    if all(map(is_number, values.values())):
        return {key: float(value) for key, value in values.items()}, []
    categories = sorted({str(value) for value in values.values()}, key=label_order)
    return {key: float(categories.index(str(v))) for key, v in values.items()}, categories


def _missing(records: list[Record], y: str) -> str:
    """Return a note on the records that have no value of y; empty if all have one."""
    missing = sum(lookup(r, y) is None and log10_of(r, y) is None for r in records)
    if not missing:
        return ""
    reason = series.reason(records, y)
    return f"{missing} of {len(records)} files have no {y}" + (f" ({reason})" if reason else "")


def _is_log(records: list[Record], y: str) -> bool:
    """Return whether the values of y span decades, or some are too large for a float."""
    values = [lookup(record, y) for record in records]
    logs = [log10_of(record, y) for record in records]
    finite = [log for log in logs if log is not None]
    both = zip(values, logs, strict=True)
    if not finite or len(finite) < sum(v is not None or log is not None for v, log in both):
        return False
    is_wide = max(finite) - min(finite) >= series.DECADES_FOR_LOG
    return is_wide or values.count(None) > logs.count(None)


def _x_axis(x: str, categories: list[str], *, is_log: bool) -> Axis:
    """Return the x axis; a setting has its ticks at the values, words have one each."""
    label = style.words(x)
    if categories:
        ends = {"low": -0.6, "high": len(categories) - 0.4}
        ticks = tuple(range(len(categories)))
        return Axis(label, ticks=ticks, tick_labels=tuple(categories), **ends)
    return Axis(label, "log" if is_log else "linear", at_values=is_averaged(x))
