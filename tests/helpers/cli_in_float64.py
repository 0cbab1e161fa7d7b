"""gentool's command line, training in float64: ARGUMENTS, as `gentool` takes them."""

import sys

from gentool.cli.main import run
from helpers.small_sets import in_float64

if __name__ == "__main__":
    with in_float64():
        sys.exit(run(sys.argv[1:]))
