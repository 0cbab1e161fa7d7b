"""Judge every claim on every family of networks that it is about: a row for each."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from gentool.claims.families import Family, families
from gentool.claims.points import value_of
from gentool.claims.registry import CLAIMS, Claim
from gentool.claims.verdict import Missing, Ruling, Verdict
from gentool.common.json import Json
from gentool.records.averaging import NotAlikeError, check_measured_alike
from gentool.records.measure_file import Record, has_fitted, lookup
from gentool.records.settings import is_cut

NAMES_SHOWN = 3  # networks that a line names; the others are counted


@dataclass(frozen=True)
class LeftOut:
    """Name the networks that were not judged, and why."""

    reason: str
    networks: list[str]

    def __str__(self) -> str:
        more = len(self.networks) - NAMES_SHOWN
        names = ", ".join(self.networks[:NAMES_SHOWN])
        return f"left out, {self.reason}: {names}" + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Row:
    """Hold the verdict on one claim, by one key (a measure or a dotted path), in one family."""

    claim: Claim
    key: str
    family: Family | None  # None where the claim is about no family here
    verdict: Verdict
    networks: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def to_json(self) -> Json:
        return {
            "claim": self.claim.id,
            "statement": self.claim.statement,
            "rule": self.claim.rule,
            "source": self.claim.source,
            "key": self.key,
            "family": self.family and self.family.name,
            "settings": self.family and self.family.settings,
            "verdict": self.verdict.ruling.value,
            "numbers": self.verdict.numbers,
            "evidence": self.verdict.evidence,
            "networks": self.networks,
            "left_out": [asdict(left) for left in self.left_out],
        }


def judge(networks: list[Record]) -> tuple[list[Row], list[LeftOut]]:
    """Return a row for each claim, key and family, and the networks that no claim can use.

    Takes one record a network: merge records about the same checkpoint before.
    """
    left_out: list[LeftOut] = []
    reason = "not known what they were trained on"
    described = _keep(networks, _is_described, reason, left_out)
    return [row for claim in CLAIMS for row in _rows(claim, described)], left_out


def _rows(claim: Claim, networks: list[Record]) -> list[Row]:
    """Return a row for each family and key, or a single row if the claim is about no family."""
    judged = families(networks, claim.study)
    if not judged:
        needs = Verdict(Ruling.MISSING, f"needs {claim.study.needs}")
        return [Row(claim, ", ".join(claim.keys), None, needs)]
    return [_row(claim, key, family) for family in judged for key in claim.keys]


def _row(claim: Claim, key: str, family: Family) -> Row:
    """Judge one claim by one key, on the networks of a family that have the key and fit."""
    left_out: list[LeftOut] = []
    networks = family.networks
    if claim.only_fitted:
        networks = _keep(networks, has_fitted, "training error above 0 or unknown", left_out)
    for needed in (key, *claim.needs):
        reason = f"no {needed} ({_source(needed)})"
        networks = _keep(networks, lambda n, k=needed: value_of(n, k) is not None, reason, left_out)
    cut = [network for network in networks if is_cut(network, key)]
    if len(cut) < len(networks):
        reason = "the search was cut short"
        networks = _keep(networks, lambda n: not is_cut(n, key), reason, left_out)
    try:
        for compared in (key, *claim.needs):
            check_measured_alike(networks, compared)
        verdict = claim.function(networks, key)
        if cut and len(cut) == len(networks):
            words = f"{verdict.numbers}; all searches were cut short"
            verdict = replace(verdict, numbers=words)
    except (Missing, NotAlikeError) as error:
        counts = [f"{len(left.networks)} with {left.reason}" for left in left_out]
        verdict = Verdict(Ruling.MISSING, "; ".join([str(error), *counts]))
    return Row(claim, key, family, verdict, list(map(_name, networks)), left_out)


def _keep(
    networks: list[Record],
    condition: Callable[[Record], bool],
    reason: str,
    left_out: list[LeftOut],
) -> list[Record]:
    """Return the networks that meet a condition; add the others to `left_out` with the reason."""
    kept = [network for network in networks if condition(network)]
    if len(kept) < len(networks):
        left_out.append(LeftOut(reason, [_name(n) for n in networks if not condition(n)]))
    return kept


def _is_described(network: Record) -> bool:
    labels, subset = (lookup(network, f"recipe.{key}") for key in ("labels", "subset"))
    return isinstance(labels, (str, float)) and isinstance(subset, int)


def _source(key: str) -> str:
    """Return the command, or the file, that a key comes from."""
    if key.startswith("outcome."):
        return "its checkpoint does not say"
    if key.startswith("expected_"):
        return "gentool sharpness --expected"
    return f"gentool {'sharpness' if key == 'sharpness' else 'measure'}"


def _name(network: Record) -> str:
    """Return the checkpoint's file name without its suffix."""
    checkpoint = network["checkpoint"]
    return str(checkpoint.get("file") or checkpoint["sha256"][:8]).removesuffix(".safetensors")
