"""Prepare the paper's figure 3: networks trained with a confusion set of random labels."""

from collections import defaultdict

from gentool.common.errors import GentoolError
from gentool.figures import panels, path_norms, style
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import Networks, caption, choose, count
from gentool.figures.sheet import Axis, Sheet
from gentool.records.measure_file import Record, has_fitted

CONFUSION = "recipe.confusion"


@FIGURES.register("3", "records", "reference", "path_norms", "errorbar")
def confusion(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare figure 3 of the paper: errors, measures and KL curves by confusion-set size."""
    networks = _networks(records)
    notes = list(networks.notes)
    if options.reference:
        notes.append("there are no values of the paper's figure 3 to lie behind ours")
    fit = [record for record in networks.records if has_fitted(record)]
    if unfit := len(networks.records) - len(fit):
        notes.append(f"the measures are of networks that fit; {count(unfit, 'other')} left out")
    axis = Axis(style.words(CONFUSION), at_values=True)
    colours = panels.size_colours(fit, CONFUSION, ())
    reading = path_norms.reading(fit, options.path_norms)
    settings = panels.measured_alike("3", fit, reading)
    shown = [
        panels.errors(networks.records, axis, CONFUSION, {}, notes, options.errorbar),
        panels.rescaled(fit, axis, CONFUSION, reading, None, notes, options.errorbar),
        panels.on_kl("expected sharpness", fit, CONFUSION, colours, None, notes),
    ]
    size = networks.records[0]["recipe"]["subset"]
    words = caption(networks.records, f"{size:,} true labels", settings)
    return panels.sheet(shown, words, notes, errorbar=options.errorbar)


def _networks(records: list[Record]) -> Networks:
    """Return the true-label networks of the training size with the most confusion-set sizes."""
    sizes: dict[int, set[int]] = defaultdict(set)
    for record in records:
        recipe = record["recipe"] or {}
        if recipe.get("labels") == "true" and recipe.get("subset"):
            sizes[recipe["subset"]].add(recipe["confusion"])
    best = max(sizes, key=lambda size: (len(sizes[size]), size), default=0)
    if len(sizes.get(best, ())) < 2:
        raise GentoolError(
            "figure 3 draws networks with different confusion sets beside one training-set size; "
            "train them with gentool train --confusion 0,1000,2000"
        )
    return choose(
        records,
        "3",
        ("confusion",),
        lambda recipe: recipe.get("labels") == "true" and recipe.get("subset") == best,
        f"networks on {best:,} true labels with their confusion sets",
    )
