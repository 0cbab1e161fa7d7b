"""Make the page of a report: prepare its sections, and fill its template. No request, no clock.

Equal records give equal bytes. All texts from files are escaped by the template engine.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from gentool.common.version import __version__
from gentool.figures.report.drawings import drawings
from gentool.figures.report.layers import network_parts
from gentool.figures.report.making import making
from gentool.figures.report.networks import DIGITS, NetworkTable, network_table
from gentool.figures.report.verdicts import ranking, verdicts
from gentool.records.conditions import Condition, chosen
from gentool.records.keys import SHOWN_MEASURES, present
from gentool.records.measure_file import DERIVED, Record, merge

TEMPLATES = "gentool.figures.report"
MOST_PINNED = 300  # rows with names that stay in sight; of more, sorting takes twice as long


@dataclass(frozen=True)
class ReportOptions:
    """Hold what a report shows: its title, keys of the table, order and conditions on networks."""

    title: str | None = None
    columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()


def report_page(records: Sequence[Record], options: ReportOptions = ReportOptions()) -> bytes:
    """Return a report on records as a page of HTML; those about one network are joined.

    Raise UsageError for an unknown key, GentoolError if no network meets the conditions or if two
    records about one network disagree.
    """
    networks, notes = chosen(merge(records), list(options.where))
    digests = {network["checkpoint"]["sha256"] for network in networks}
    of_networks = [r for r in records if r["checkpoint"]["sha256"] in digests]
    table = network_table(networks, options.columns, options.sort)
    keys = [column.key.removeprefix("log10.") for column in table.columns]
    measures = [key for key in dict.fromkeys(keys) if "." not in key and key not in DERIVED]
    measures = measures or present(networks, SHOWN_MEASURES)
    count = f"{len(networks)} network" + "s" * (len(networks) != 1)
    environment = Environment(
        loader=PackageLoader(TEMPLATES, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _template("table.js")
    page = environment.get_template("page.html.jinja").render(
        title=options.title or f"Report on {count}",
        count=count,
        version=__version__,
        digits=DIGITS,
        most_pinned=MOST_PINNED,
        conditions=[str(condition) for condition in options.where],
        table=table,
        notes=[*notes, *table.notes],
        drawings=drawings(networks, measures),
        verdicts=verdicts(networks),
        ranking=ranking(networks, measures),
        parts=network_parts(_in_order(networks, table)),
        making=making(of_networks, networks, measures),
        style=_template("page.css"),
        script=script,
        script_hash=_hash(script),
    )
    return page.encode("utf-8", errors="backslashreplace")


def _in_order(networks: list[Record], table: NetworkTable) -> list[Record]:
    """Return the networks in the order of the table's rows."""
    places = {row.digest: i for i, row in enumerate(table.rows)}
    return sorted(networks, key=lambda network: places[network["checkpoint"]["sha256"]])


def _template(name: str) -> str:
    return files(TEMPLATES).joinpath("templates", name).read_text("utf-8")


def _hash(script: str) -> str:
    """Return the hash by which the page's Content-Security-Policy allows this script alone."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
