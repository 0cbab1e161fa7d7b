"""Ask torchrun's environment variables which process this is. No torch."""

import os


def is_launched() -> bool:
    """Return whether torchrun started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main_process() -> bool:
    """Return whether this process prints messages: rank 0 under torchrun, any process without."""
    return os.environ.get("RANK", "0") == "0"
