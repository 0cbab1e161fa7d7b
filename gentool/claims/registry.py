"""Register claims: functions whose docstring states the claim and the rule that judges it.

    @CLAIMS.register("1a", LABELS, keys=NORMS)
    def norms_larger_with_random_labels(networks: list[Record], key: str) -> Verdict: ...

The first paragraph is the claim, the last line the figure, and the lines between say exactly when
it holds. A claim is judged once for each key and family, on networks that all have the key.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from gentool.claims.families import Study
from gentool.claims.verdict import Verdict
from gentool.common.registry import Registry, claim_parts
from gentool.records.measure_file import Record

Function = Callable[[list[Record], str], Verdict]
NORMS = ("l2", "l1_path", "l2_path", "spectral")


@dataclass(frozen=True)
class Claim:
    """Hold a claim of the paper: the function that judges it, and the parts of its docstring."""

    id: str
    function: Function
    study: Study
    keys: tuple[str, ...]
    needs: tuple[str, ...]  # further keys that its networks must have
    only_fitted: bool
    statement: str
    rule: str
    source: str

    @property
    def title(self) -> str:
        return self.function.__name__.replace("_", " ")


class Claims(Registry[Claim]):
    """Hold all claims by number, sorted by number."""

    def register(
        self,
        id: str,
        study: Study,
        keys: tuple[str, ...],
        needs: tuple[str, ...] = (),
        only_fitted: bool = True,
    ) -> Callable[[Function], Function]:
        """Add a claim under its number; use as a decorator.

        With `only_fitted` the claim is judged only on networks without a training error.
        """

        def add(function: Function) -> Function:
            parts = claim_parts(inspect.getdoc(function))
            self.add(id, Claim(id, function, study, keys, needs, only_fitted, *parts))
            return function

        return add


CLAIMS = Claims("claim", is_sorted=True)
