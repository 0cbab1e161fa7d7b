"""Prepare a figure of measures ranked by the scores of the field, with intervals over recipes."""

from collections.abc import Callable

from gentool.claims.correlation import Correlation, correlations
from gentool.claims.summary import by_equal_ranks, without_tau_by_reason
from gentool.common.errors import GentoolError
from gentool.figures import style
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import count
from gentool.figures.sheet import Axis, Curve, Layout, Panel, Sheet
from gentool.records.measure_file import Record

RESAMPLES = 1000
MOST_ROWS = 45
NAMES_SHOWN = 4  # in a note
Interval = tuple[float, float] | None
Score = Callable[[Correlation], tuple[float | None, Interval]]


@FIGURES.register("ranking", "records", "seed")
def ranking(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare the ranking of measures by τ, Ψ, K and sign error, with intervals over recipes."""
    ranked = correlations(records, None, RESAMPLES, options.seed)
    groups = by_equal_ranks(ranked)
    if not groups:
        reason = next(iter(without_tau_by_reason(ranked)), "no measure")
        raise GentoolError(
            f"figure ranking needs measures and a generalization gap of two networks: {reason}"
        )
    groups = sorted(groups, key=lambda group: -group[0].tau)
    notes = _notes(ranked)
    if len(groups) > MOST_ROWS:
        groups = sorted(groups, key=lambda group: -abs(group[0].tau))[:MOST_ROWS]
        groups = sorted(groups, key=lambda group: -group[0].tau)
        notes.append(f"the {MOST_ROWS} measures of largest |τ|; gentool claims lists the others")
    rows = [group[0] for group in groups]
    names = [g[0].measure + f" +{len(g) - 1}" * (len(g) > 1) for g in groups]
    panels = [
        _panel("Kendall's τ", names, rows, _tau, level=0.0),
        _panel("granulated Ψ", names, rows, _granulated, level=0.0),
        _panel("conditional information K", names, rows, _information, low=0.0),
        _panel("sign error, mean and worst", names, rows, _errors, level=0.5, low=0.0, high=1.0),
    ]
    shown = [panel for panel in panels if panel.curves]
    return Sheet(
        shown,
        _caption(rows, any(len(group) > 1 for group in groups)),
        columns=len(shown),
        legends="none",
        layout=Layout(panel_width=2.7, marker_size=5),
        notes=notes,
    )


def _tau(row: Correlation) -> tuple[float | None, Interval]:
    return row.tau, row.interval


def _granulated(row: Correlation) -> tuple[float | None, Interval]:
    return row.granulated, row.granulated_interval


def _information(row: Correlation) -> tuple[float | None, Interval]:
    score = row.conditional_information
    return (None, None) if score is None else (score.value, score.interval)


def _errors(row: Correlation) -> tuple[float | None, Interval]:
    score = row.sign_error
    return (None, None) if score is None else (score.mean, score.interval)


def _panel(
    title: str,
    names: list[str],
    rows: list[Correlation],
    score: Score,
    level: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Panel:
    """Return a panel with a row for each measure: its score, and the interval of that as a bar."""
    curves = []
    for row, correlation in enumerate(rows):
        value, interval = score(correlation)
        if value is None:
            continue
        ends = ((interval[0],), (interval[1],)) if interval else (None, None)
        curves.append(Curve("", (row,), (value,), style.BLUE, "o", *ends))
        if score is _errors and correlation.sign_error is not None:
            worst = (correlation.sign_error.worst,)
            curves.append(Curve("", (row,), worst, style.VERMILION, "x"))
    of_names = Axis(
        "",
        low=-0.6,
        high=len(names) - 0.4,
        ticks=tuple(range(len(names))),
        tick_labels=tuple(names),
    )
    axis = Axis(title, low=low, high=high)
    return Panel("", of_names, axis, curves, level=level, is_transposed=True)


def _caption(rows: list[Correlation], has_equal: bool) -> str:
    """Return what the panels show, the networks and the resamples, in one line."""
    networks, recipes = max((row.networks, row.recipes) for row in rows)
    words = [f"{count(networks, 'network')} of {count(recipes, 'recipe')}, by generalization gap"]
    if any(row.interval for row in rows):
        words.append(f"bars: 95 % of {RESAMPLES:,} resamples of recipes{_of_information(rows)}")
    if any(row.sign_error for row in rows):
        words.append("crosses: the worst environment")
    if has_equal:
        words.append("+1: one more measure that orders the networks alike")
    return "; ".join(words)


def _of_information(rows: list[Correlation]) -> str:
    """Return how many resamples K has, which costs more than the others, in words."""
    scores = [row.conditional_information for row in rows if row.conditional_information]
    resamples = max((score.resamples for score in scores), default=0)
    return f" (of K {resamples})" if resamples else ""


def _notes(ranked: list[Correlation]) -> list[str]:
    """Return why measures have no tau, and how many networks were left out."""
    notes = [
        f"{row.measure}: {row.cut_short} left out whose search was cut short"
        for row in ranked
        if row.cut_short
    ]
    for reason, names in without_tau_by_reason(ranked).items():
        more = len(names) - NAMES_SHOWN
        listed = ", ".join(names[:NAMES_SHOWN]) + f" and {more} more" * (more > 0)
        notes.append(f"no tau of {listed}: {reason}")
    return notes
