"""Print the measures that `gentool measure` computes, by family, with what each needs."""

from collections.abc import Sequence

from gentool.records.measure_facts import facts_of


def print_list(names: Sequence[str]) -> None:
    """Print definition and facts of measures on stdout, by family: those of some names, or all.

    A name may be that of a group (`@norms`). Raise UsageError if one is unknown.
    """
    from gentool.measures import MEASURES
    from gentool.measures.families import FAMILIES

    chosen = MEASURES.select(names or ["@all"])
    for family, about in FAMILIES.items():
        members = [measure for measure in chosen if measure.family == family]
        if members:
            print(f"# {about.title} (@{family.replace('_', '-')})")
        for measure in members:
            lines = measure.formula, measure.summary, measure.source, facts_in_words(measure.name)
            print("\n    ".join([measure.name, *lines]))


def facts_in_words(name: str) -> str:
    """Return what a measure costs and needs, what larger means, and its groups, in one line."""
    facts = facts_of(name)
    needs = f"; needs {', '.join(facts.needs)}" if facts.needs else ""
    groups = " ".join(f"@{group}" for group in facts.groups)
    return f"cost: {facts.cost}{needs}; larger: {facts.larger}; {groups}"
