"""Judge the claims of the paper on measure files. No torch.

Importing this package registers every claim.
"""

from gentool.claims import confusion, hidden, labels
from gentool.claims.judging import LeftOut, Row, judge
from gentool.claims.registry import CLAIMS, Claim
from gentool.claims.verdict import Ruling, Verdict
from gentool.common.callable_package import make_callable

__all__ = [
    "CLAIMS",
    "Claim",
    "LeftOut",
    "Row",
    "Ruling",
    "Verdict",
    "confusion",
    "hidden",
    "judge",
    "labels",
]

make_callable(__name__, "gentool.claims.report")
