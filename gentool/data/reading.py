"""Hold the options that say how the images of a folder or of an npz archive are read."""

from dataclasses import dataclass, replace

from gentool.common.errors import UsageError
from gentool.records.recipe import Recipe


@dataclass(frozen=True)
class Reading:
    """Hold how images are read; None where the file itself decides.

    `channels` (1 or 3) and `resize` (pixels) are for folders, `channel_order` (`first` or `last`)
    for npz archives. `classes` is the number of classes of a set whose images show only some of
    them. `is_recorded` is true if a checkpoint holds the facts of the data already, so that what
    the file leaves open is taken as it was when the network was trained.
    """

    channels: int | None = None
    resize: int | None = None
    channel_order: str | None = None
    classes: int | None = None
    is_recorded: bool = False

    def of_kind(self, kind: str) -> "Reading":
        """Return what matters for a kind of data: folder, npz or the name of another set.

        Raise UsageError if an option is not for this kind.
        """
        of_folders = {"--channels": self.channels, "--resize": self.resize}
        for option, value in of_folders.items():
            if value is not None and kind != "folder":
                raise UsageError(f"{option} {value} is for --data folder:DIR; leave it out")
        if self.channel_order is not None and kind != "npz":
            raise UsageError(
                f"--channels-{self.channel_order} is for --data npz:FILE; leave it out"
            )
        if kind == "npz":
            return self
        return replace(self, classes=None, is_recorded=False)


AS_STORED = Reading()


def reading_of(recipe: Recipe) -> Reading:
    """Return how the data of a recipe is read.

    The classes of a network that another program trained are its outputs, of which the data may
    show fewer.
    """
    return Reading(
        channels=recipe.channels,
        resize=recipe.resize,
        channel_order=recipe.channel_order,
        classes=recipe.classes if recipe.origin is None else None,
        is_recorded=recipe.fingerprint is not None,
    )


def check_classes(data: str, classes: int | None) -> None:
    """Raise UsageError if a number of classes is said of data that tells it by itself."""
    if classes is not None and not data.startswith("npz:"):
        raise UsageError(f"--classes {classes} is for --data npz:FILE; leave it out")
