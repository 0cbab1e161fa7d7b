"""What is said of a claim, and the numbers that decide it."""

from dataclasses import dataclass, field
from enum import StrEnum

from gentool.common.json import Json


class Ruling(StrEnum):
    """What is said of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "cannot be told"  # there are numbers, but too few of them or too close to each other
    MISSING = "cannot be judged"  # there are no numbers


class Missing(Exception):
    """What a claim needs is not there; the message names it."""


@dataclass(frozen=True)
class Verdict:
    """What is said of a claim, the deciding numbers in a line, and all that were compared."""

    outcome: Ruling
    numbers: str
    evidence: list[Json] = field(default_factory=list)


def of_signs(signs: list[int], words: str, evidence: list[Json]) -> Verdict:
    """The verdict on comparisons that all have to hold.

    A sign is 1 where a comparison holds, -1 where the contrary does, 0 where the two cannot be told
    apart. One contrary fails the claim; it holds where all hold. `words` follow "2 of 3 ".
    """
    numbers = f"{signs.count(1)} of {len(signs)} {words}"
    if near := signs.count(0):
        numbers += f", {near} cannot be told apart"
    if -1 in signs:
        return Verdict(Ruling.FAILS, numbers, evidence)
    return Verdict(Ruling.OPEN if 0 in signs else Ruling.HOLDS, numbers, evidence)
