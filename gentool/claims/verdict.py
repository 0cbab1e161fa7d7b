"""The verdict on a claim: holds, fails or undecided, with the numbers that decide it."""

from dataclasses import dataclass, field
from enum import StrEnum

from gentool.common.json import Json


class Ruling(StrEnum):
    """Say whether a claim holds."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "cannot be told"  # too few numbers, or too close to each other
    MISSING = "cannot be judged"  # no numbers


class Missing(Exception):
    """Raised where the files lack numbers that a claim needs; the message names them."""


@dataclass(frozen=True)
class Verdict:
    """Hold the ruling on a claim, the deciding numbers in one line, and all values compared."""

    ruling: Ruling
    numbers: str
    evidence: list[Json] = field(default_factory=list)


def verdict_if_all_hold(signs: list[int], words: str, evidence: list[Json]) -> Verdict:
    """Return the verdict on a claim that needs every one of several comparisons to hold.

    A sign is 1 where a comparison holds, -1 where its opposite does, 0 where the two values cannot
    be told apart. The claim fails at one -1, and holds where all are 1. `words` follow "2 of 3 ".
    """
    numbers = f"{signs.count(1)} of {len(signs)} {words}"
    if undecided := signs.count(0):
        numbers += f", {undecided} cannot be told apart"
    if -1 in signs:
        return Verdict(Ruling.FAILS, numbers, evidence)
    return Verdict(Ruling.OPEN if 0 in signs else Ruling.HOLDS, numbers, evidence)
