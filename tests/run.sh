#!/bin/sh
# Install what the tests need, and run them. Arguments go to pytest: `sh tests/run.sh -m slow`.
set -eu
cd "$(dirname "$0")/.."
EXTRAS='[dev]'
. examples/environment.sh
exec python -m pytest "$@"
