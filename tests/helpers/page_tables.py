"""Write the tables of the pages from the code: `PYTHONPATH=. python tests/helpers/page_tables.py`.

A page marks a table by `<!-- made: NAME ARGUMENTS -->` and `<!-- end -->`. A test holds each table
equal to what the code says, and the list of measures in `gentool/records`, too.
"""

import json
import re
from pathlib import Path

import typer

from gentool.claims import CLAIMS
from gentool.cli.main import app
from gentool.measures import MEASURES
from gentool.measures.families import FAMILIES
from gentool.measures.jiang2020 import AS_PUBLISHED, EQUATIONS, WITHOUT_M
from gentool.sharpness.definitions import OVER_M, definitions

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- made: (\w+)(?: ([^\n]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)
SUFFIXES = (
    "_unnormalized",
    "_maxpool",
    "_jiang2020",
    "_over_m",
    "_as_published",
)  # explained below the table of measures


def table(head, rows):
    """Lay out a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells).replace("\n", " ") + " |" for cells in lines)


def escaped(text):
    """Escape the sign that separates cells."""
    return text.replace("|", "&#124;")


def short(source):
    """Abbreviate a source to the first letter of its author and its year, as [N17]."""
    return f"{source[0]}{re.search(r'(?:19|20)(..)[^0-9]*$', source)[1]}"


def defined(quantities):
    """Show name, formula and source of quantities, and below the table each source once."""
    quantities = list(quantities)
    keys = {}  # a second source of the same letter and year is [N18b]
    for source in dict.fromkeys(quantity.source for quantity in quantities):
        same = sum(key.startswith(short(source)) for key in keys.values())
        keys[source] = short(source) + ("abcdefgh"[same] if same else "")
    rows = [(f"`{q.name}`", escaped(q.formula), f"[{keys[q.source]}]") for q in quantities]
    listed = "\n".join(sorted(f"- [{key}] {source}" for source, key in keys.items()))
    return f"{table(('name', 'formula', 'source'), rows)}\n\n{listed}"


def measures(_):
    """Show the registered measures without those that differ by a suffix."""
    return defined(measure for measure in MEASURES if not measure.name.endswith(SUFFIXES))


def sharpness(_):
    """Show what `gentool sharpness` reports, without what is a quantity divided by m."""
    return defined(each for each in definitions() if not each.name.endswith(OVER_M))


def equations(_):
    """Show the measure of each equation of Jiang et al., and of public code where it differs."""
    rows = [
        (
            f"({number})",
            f"`{name}`",
            "" if number in WITHOUT_M else f"`{name}_over_m`",
            f"`{published}`" if (published := as_published(number, name)) else "",
        )
        for number, name in EQUATIONS.items()
    ]
    return table(("equation", "measure", "√(measure / m)", "as in public code"), rows)


def as_published(number, name):
    """Return the name of a measure as public code has it; None where that is the same."""
    if number in AS_PUBLISHED:
        return f"{AS_PUBLISHED[number]}_as_published"
    known = {each.name for each in definitions()}
    return f"{name}_as_published" if f"{name}_as_published" in known else None


def claims(_):
    """Show the claims of the paper, and how each is judged."""
    rows = [(c.id, c.statement, escaped(c.rule), c.source.removesuffix(".")) for c in CLAIMS]
    return table(("", "claim", "judged", "source"), rows)


def options(names):
    """Show the options of a command in some panels of its help: `COMMAND: PANEL; PANEL`."""
    command, _, panels = names.partition(": ")
    parameters = typer.main.get_command(app).commands[command].params
    shown = panels.split("; ") if panels else [None]
    chosen = [
        p
        for p in parameters
        if p.param_type_name == "option"
        and not p.hidden
        and getattr(p, "rich_help_panel", None) in shown
    ]
    assert chosen, names
    return table(("option", "meaning"), [(spelled(p), meaning(p)) for p in chosen])


def spelled(option):
    """Return the option with its other names and the name of its value."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names} {escaped(option.metavar)}" if option.metavar else names


def meaning(option):
    """Return the help of an option as plain text, with its default."""
    text = re.sub(r"\[/?dim\]|\\", "", option.help).replace("[default:", "(default:")
    text = re.sub(r"(\(default:[^\]]*)\]", r"\1)", text)
    default = option.default
    if "(default:" not in text and default is not None and not isinstance(default, bool):
        text += f" (default: {default})"
    parts = text.split("`")  # each second one is code already
    parts[::2] = [re.sub(r"--([a-z][a-z-]*)", r"`--\1`", part) for part in parts[::2]]
    return escaped("`".join(parts))


TABLES = {
    "equations": equations,
    "measures": measures,
    "sharpness": sharpness,
    "claims": claims,
    "options": options,
}


def filled(text):
    """Fill each marked block of a page with its table; leave blocks of other scripts."""
    return BLOCK.sub(
        lambda block: (
            f"{block[1]}\n{TABLES[block[2]](block[3])}\n\n{block[4]}"
            if block[2] in TABLES
            else block[0]
        ),
        text,
    )


def measure_facts():
    """Return `measure_facts.json`: what is known of each measure, one a line."""
    ranks = {family: rank for rank, family in enumerate(FAMILIES)}
    ordered = sorted(MEASURES, key=lambda measure: ranks[measure.family])
    facts = {each.name: each.facts.to_json() for each in (*ordered, *definitions())}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in facts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


FACTS = ROOT / "gentool" / "records" / "measure_facts.json"


if __name__ == "__main__":
    FACTS.write_text(measure_facts(), "utf-8")
    for page in sorted(ROOT.glob("gentool/*/README.md")):
        page.write_text(filled(page.read_text("utf-8")), "utf-8")
