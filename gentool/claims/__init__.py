"""The paper's claims, judged on measure files. No torch.

Importing this package fills the table of claims.
"""

from gentool.claims import confusion, hidden, labels
from gentool.claims.judging import LeftOut, Row, judge
from gentool.claims.registry import CLAIMS, Claim
from gentool.claims.verdict import Outcome, Verdict

__all__ = [
    "CLAIMS",
    "Claim",
    "LeftOut",
    "Outcome",
    "Row",
    "Verdict",
    "confusion",
    "hidden",
    "judge",
    "labels",
]
