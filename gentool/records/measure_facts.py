"""Say what is known of each measure by its name: family, cost, needs, groups. No torch.

The facts stand beside the functions that compute the measures, and importing those takes torch, so
a list of them is kept in `measure_facts.json`. `tests/helpers/page_tables.py` writes it, and a test
holds it equal to the code.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files

from gentool.common.errors import UsageError, unknown
from gentool.common.json import loads

SIGN = "@"  # before the name of a group
ALL = "@all"
SEARCH = "search"
"""The cost of what `gentool sharpness` computes: a search or a sampling of its own."""
FAMILY_OF_SHARPNESS = "sharpness"


@dataclass(frozen=True)
class Facts:
    """Hold the facts about a measure: the words are those of `gentool.measures.families`."""

    family: str
    cost: str
    needs: tuple[str, ...]
    larger: str
    groups: tuple[str, ...]
    is_rescalable: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@cache
def facts_by_name() -> dict[str, Facts]:
    """Return the facts of all measures, in the order of `--list`."""
    entries = loads(files("gentool.records").joinpath("measure_facts.json").read_bytes())
    return {
        name: Facts(**entry | {part: tuple(entry[part]) for part in ("needs", "groups")})
        for name, entry in entries.items()
    }


def facts_of(name: str) -> Facts | None:
    """Return the facts of a measure, of a standard error those of its estimate; None if unknown."""
    facts = facts_by_name()
    return facts.get(name) or facts.get(name.removesuffix("_stderr"))


def changed_by_rescaling(names: Iterable[str]) -> list[str]:
    """Return those of some measures that change where layers are rescaled at the same function."""
    facts = facts_by_name()
    return [name for name in names if name in facts and not facts[name].is_rescalable]


def is_group(name: str) -> bool:
    """Return whether a name is that of a group: `@norms`."""
    return name.startswith(SIGN)


def made_by_sharpness(name: str) -> bool:
    """Return whether `gentool sharpness` computes a measure."""
    facts = facts_of(name)
    return facts is not None and facts.family == FAMILY_OF_SHARPNESS


def groups() -> list[str]:
    """Return the names of all groups, with their sign, sorted."""
    names = {group for facts in facts_by_name().values() for group in facts.groups}
    return [ALL, *sorted(f"{SIGN}{name}" for name in names)]


def group_names(group: str) -> list[str]:
    """Return the names of the measures of a group; raise UsageError if it is unknown."""
    spelled = group.replace("_", "-").lower()
    if spelled not in groups():
        raise unknown("group", group, groups())
    name = spelled.removeprefix(SIGN)
    return [
        measure
        for measure, facts in facts_by_name().items()
        if (spelled == ALL or name in facts.groups) and not measure.endswith("_stderr")
    ]


def with_groups(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return names, each group replaced by those of its measures that are known.

    Raise UsageError for an unknown group, and for one of which no measure is known.
    """
    known, every = set(known), []
    for name in names:
        if not is_group(name):
            every.append(name)
            continue
        present = [measure for measure in group_names(name) if measure in known]
        if not present:
            raise UsageError(f"no file has a measure of {name}; gentool measure --only computes it")
        every += present
    return list(dict.fromkeys(every))
