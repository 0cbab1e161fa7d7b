#!/bin/sh
# Install what the tests need, and run them, two at a time (JOBS), each in one thread unless
# OMP_NUM_THREADS says otherwise. Arguments go to pytest: `sh tests/run.sh -m slow`.
set -eu
cd "$(dirname "$0")/.."
EXTRAS='[dev]'
. examples/environment.sh
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python -m pytest -n "${JOBS:-2}" "$@"
