"""Every claim on every family of networks that it is about: one row each, and what was left out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from gentool.claims.families import Family, families
from gentool.claims.points import value_of
from gentool.claims.registry import CLAIMS, NORMS, Claim
from gentool.claims.verdict import Missing, Ruling, Verdict
from gentool.common.json import Json
from gentool.records.measure_file import Record, has_fitted, lookup

NAMED = 3  # networks in a line for people; the others are counted

# What the networks of one comparison must have been measured with alike: words and where it is.
_SETTINGS = dict.fromkeys(NORMS, ("epsilon", lambda record: lookup(record, "margin.epsilon"))) | {
    "sharpness": (
        "alpha",
        lambda record: (lookup(record, "sharpness.points") or [{}])[0].get("alpha"),
    )
}


@dataclass(frozen=True)
class LeftOut:
    """Networks that were not judged, and why."""

    reason: str
    networks: list[str]

    def __str__(self) -> str:
        more = f" and {len(self.networks) - NAMED} more" if len(self.networks) > NAMED else ""
        return f"left out, {self.reason}: {', '.join(self.networks[:NAMED])}{more}"


@dataclass(frozen=True)
class Row:
    """What is said of a claim by one key, in one family."""

    claim: Claim
    key: str
    family: Family | None  # None where there is none that the claim is about
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
            "verdict": self.verdict.outcome.value,
            "numbers": self.verdict.numbers,
            "evidence": self.verdict.evidence,
            "networks": self.networks,
            "left_out": [asdict(left) for left in self.left_out],
        }


def judge(networks: list[Record]) -> tuple[list[Row], list[LeftOut]]:
    """All rows, and what no claim could use. One record a network, merged before."""
    left_out: list[LeftOut] = []
    words = "not known what they were trained on"
    known = _keep(networks, _is_described, words, left_out)
    return [row for claim in CLAIMS for row in _rows(claim, known)], left_out


def _rows(claim: Claim, networks: list[Record]) -> list[Row]:
    """One row a family and key; where no family is one that the claim is about, one in all."""
    found = families(networks, claim.study)
    if not found:
        needs = Verdict(Ruling.MISSING, f"needs {claim.study.needs}")
        return [Row(claim, ", ".join(claim.keys), None, needs)]
    return [_row(claim, key, family) for family in found for key in claim.keys]


def _row(claim: Claim, key: str, family: Family) -> Row:
    """One claim by one key, on those networks of a family that have it and have fitted."""
    left_out: list[LeftOut] = []
    networks = family.networks
    if claim.only_fitted:
        networks = _keep(networks, has_fitted, "training error above 0 or unknown", left_out)
    for needed in (key, *claim.needs):
        words = f"no {needed} ({_source(needed)})"
        networks = _keep(networks, lambda n, k=needed: value_of(n, k) is not None, words, left_out)
    try:
        _check_settings(networks, key)
        verdict = claim.function(networks, key)
    except Missing as reason:
        short = [f"{len(left.networks)} with {left.reason}" for left in left_out]
        verdict = Verdict(Ruling.MISSING, "; ".join([str(reason), *short]))
    return Row(claim, key, family, verdict, list(map(_name, networks)), left_out)


def _keep(
    networks: list[Record], is_right: Callable[[Record], bool], words: str, left_out: list[LeftOut]
) -> list[Record]:
    """Those that are right; the others are added to `left_out`."""
    kept = [network for network in networks if is_right(network)]
    if len(kept) < len(networks):
        left_out.append(LeftOut(words, [_name(n) for n in networks if not is_right(n)]))
    return kept


def _check_settings(networks: list[Record], key: str) -> None:
    """Raise Missing where a key was computed in several ways, whose values are no comparison."""
    if key not in _SETTINGS:
        return
    words, setting = _SETTINGS[key]
    if len(found := {setting(network) for network in networks} - {None}) > 1:
        raise Missing(f"{key} has several values of {words}: {', '.join(map(str, sorted(found)))}")


def _is_described(network: Record) -> bool:
    labels, subset = (lookup(network, f"recipe.{key}") for key in ("labels", "subset"))
    return isinstance(labels, (str, float)) and isinstance(subset, int)


def _source(key: str) -> str:
    """Where a key comes from."""
    if key.startswith("outcome."):
        return "its checkpoint does not say"
    if key.startswith("expected_"):
        return "gentool sharpness --expected"
    return f"gentool {'sharpness' if key == 'sharpness' else 'measure'}"


def _name(network: Record) -> str:
    """The checkpoint's name without its ending."""
    checkpoint = network["checkpoint"]
    return str(checkpoint.get("file") or checkpoint["sha256"][:8]).removesuffix(".safetensors")
