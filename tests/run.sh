#!/bin/sh
# Run the tests, with all the set-up they need. Arguments go to pytest: `sh tests/run.sh -m slow`.
set -eu
cd "$(dirname "$0")/.."
EXTRAS='[dev]'
. examples/environment.sh
exec python -m pytest "$@"
