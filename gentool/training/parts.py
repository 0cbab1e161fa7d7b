"""Divide an epoch into parts, after which its running loss is read. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field

PARTS = 16  # of an epoch
LEAST_STEPS = 8  # of a part, since reading its loss takes a small network as long as a step


def ends_of_parts(steps: int, stop_check: str | None) -> Iterator[tuple[int, int]]:
    """Yield the first and the last step of each part, the last one excluded, as of a slice.

    An epoch whose loss is looked at once, by the stop check `epoch`, has one part.
    """
    parts = max(1, min(PARTS, steps // LEAST_STEPS)) if stop_check == "steps" else 1
    for part in range(parts):
        yield part * steps // parts, (part + 1) * steps // parts


@dataclass
class EpochParts:
    """Hold the running losses and errors, in training mode, of the parts of an epoch so far.

    `steps` and `images` count those of all parts.
    """

    steps: int = 0
    images: int = 0
    parts: list[tuple[float, float, int]] = field(default_factory=list)

    def add(self, loss: float, error: float, images: int, steps: int) -> None:
        """Add a part with its means over so many images."""
        self.parts.append((loss, error, images))
        self.images += images
        self.steps += steps

    def means(self) -> tuple[float, float]:
        """Return the running loss and error of all parts; of a single one to the bit."""
        if len(self.parts) == 1:
            return self.parts[0][:2]
        losses, errors = (sum(p[k] * p[2] for p in self.parts) for k in (0, 1))
        return losses / self.images, errors / self.images
