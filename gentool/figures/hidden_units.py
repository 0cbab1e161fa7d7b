"""Prepare the paper's figure 4: MLPs with a growing number of hidden units."""

from gentool.figures import panels, paper, path_norms, style
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import caption, choose
from gentool.figures.sheet import Axis, Sheet
from gentool.records.measure_file import Record, has_fitted, lookup

HIDDEN = "recipe.hidden"
ON_KL = (32, 128, 512, 2048)  # of the paper's right panel
PAPER_ERRORS = {"outcome.train_error": "fig4_err_train", "outcome.test_error": "fig4_err_test"}


@FIGURES.register("4", "records", "reference", "path_norms", "errorbar")
def width(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare figure 4 of the paper: errors, measures and KL curves by hidden units of MLPs."""
    networks = choose(
        records,
        "4",
        ("hidden",),
        lambda recipe: (
            bool(recipe.get("hidden"))
            and recipe.get("labels") == "true"
            and not recipe.get("confusion")
        ),
        "MLPs on true labels without a confusion set",
    )
    notes = list(networks.notes)
    if options.reference:
        notes += paper.compare("4", networks.records)
    fit = [record for record in networks.records if has_fitted(record)]
    if unfit := sorted({lookup(r, HIDDEN) for r in networks.records if not has_fitted(r)}):
        listed = ", ".join(map(str, unfit))
        notes.append(f"the measures are of networks that fit, without those of {listed} units")
    axis = Axis(style.words(HIDDEN), "log", is_shared=True, at_values=True)
    colours = panels.size_colours(fit, HIDDEN, ON_KL)
    reading = path_norms.reading(fit, options.path_norms)
    errors, measures, kl = (
        (PAPER_ERRORS, "fig4_mid_", "fig4_pb_") if options.reference else ({}, None, None)
    )
    settings = panels.measured_alike("4", fit, reading)
    shown = [
        panels.errors(networks.records, axis, HIDDEN, errors, notes, options.errorbar),
        panels.rescaled(fit, axis, HIDDEN, reading, measures, notes, options.errorbar),
        panels.on_kl("expected sharpness", fit, HIDDEN, colours, kl, notes),
    ]
    words = caption(networks.records, settings)
    words += paper.in_caption("4", networks.records) if options.reference else ""
    return panels.sheet(shown, words, notes, errorbar=options.errorbar)
