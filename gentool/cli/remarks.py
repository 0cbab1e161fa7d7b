"""Say once, with the number of networks, what would be said of each network of a batch."""

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.cli.outputs import assumed_in_words, evaluation_in_words, inferred
from gentool.common.console import say
from gentool.common.json import Json
from gentool.records.replaced import replaced_record

if TYPE_CHECKING:
    from gentool.checkpoints.checkpoint import Checkpoint

_NUMBER = re.compile(r"-?\d[\d.]*(?:e[-+]?\d+)?")
NAMES_SHOWN = 3


class Remarks:
    """Collect remarks on networks, and print them at the end, each once.

    Warnings are printed at once, the first of each kind: a long search may be in vain. So is what
    is said of a single network, but for notes.
    """

    def __init__(self, networks: int, quiet: bool) -> None:
        self.networks = networks
        self.quiet = quiet
        self._collected: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def inferred(self, checkpoint: "Checkpoint") -> None:
        """Say what was inferred about a foreign checkpoint; nothing about one of gentool's own."""
        if words := inferred(checkpoint):
            self._add("", checkpoint.path.name, f"inferred {words}")

    def evaluation(self, name: str, evaluation: Json) -> None:
        """Say loss and error of a network as read (of several, the table does), and warnings."""
        if self.networks == 1:
            self._add("", name, evaluation_in_words(evaluation))
        elif assumed := assumed_in_words(evaluation):
            self._add("", name, assumed)
        for warning in evaluation["warnings"]:
            self._add("warning: ", name, warning)

    def note(self, name: str, text: str) -> None:
        """Say a note on a network."""
        self._add("note: ", name, text)

    def replaced(self, name: str, path: Path | None, record: Json) -> None:
        """Say what a record held that is about to be replaced, if it was made otherwise."""
        if words := replaced_record(path, record):
            self.note(name, words)

    def close(self) -> None:
        """Print what was collected: each text once, with the number of its networks."""
        if self.quiet:
            return
        for key, members in self._collected.items():
            kind = key.partition(":")[0] + ": " if key.startswith(("note:", "warning:")) else ""
            names = list(dict.fromkeys(name for name, _ in members))
            texts = list(dict.fromkeys(text for _, text in members))
            if kind == "warning: ":
                if len(names) > 1:
                    say(f"warning: the same of {_listed(names[1:])}: {_shortened(texts[0])}")
            elif len(names) == 1:
                name = "" if self.networks == 1 else f"{names[0]}: "
                for text in texts:
                    say(f"{kind}{name}{text}")
            elif len(texts) > 1:
                others = f"{len(names) - 1} other" + "s" * (len(names) > 2)
                say(f"{kind}{texts[0]} ({names[0]}, and the like for {others})")
            else:
                say(f"{kind}{texts[0]} ({_count(len(names), self.networks)})")
        self._collected.clear()

    def _add(self, kind: str, name: str, text: str) -> None:
        if self.quiet:
            return
        if self.networks == 1 and kind != "note: ":
            say(f"{kind}{name}: {text}")
            return
        # Reasons that differ in their numbers alone are one reason; what was inferred is not.
        key = kind + (_NUMBER.sub("#", text) if kind else text)
        if kind == "warning: " and key not in self._collected:
            say(f"{kind}{name}: {text}")
        self._collected[key].append((name, text))


def _count(some: int, all_of_them: int) -> str:
    return f"all {some} networks" if some == all_of_them else f"{some} of {all_of_them} networks"


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _shortened(text: str) -> str:
    return text.partition(";")[0]
