"""Where data sets are, and what they are called. No torch: the command line asks at once."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """gentool's folder in the user's cache: $XDG_CACHE_HOME/gentool, or ~/.cache/gentool."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gentool"


def default_data_dir() -> Path:
    """The folder of the data sets: $GENTOOL_DATA, or a folder in the user's cache."""
    return Path(os.environ.get("GENTOOL_DATA") or cache_dir() / "data")
