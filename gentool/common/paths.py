"""Find the folders of the cache and of the data sets. No torch, so that `--help` stays fast."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return gentool's folder in the user's cache: $XDG_CACHE_HOME/gentool or ~/.cache/gentool."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gentool"


def default_data_dir() -> Path:
    """Return the folder of the data sets: $GENTOOL_DATA, or a folder in the user's cache."""
    return Path(os.environ.get("GENTOOL_DATA") or cache_dir() / "data")
