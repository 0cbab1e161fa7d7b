# Sourced by the other scripts: makes .venv with gentool in it, or reuses it. Needs Python 3.11 or later, no more.
#
#   . examples/environment.sh          gentool itself
#   EXTRAS='[dev]' . examples/environment.sh   and what its tests need
#
# VENV names another folder for the environment, PYTHON another interpreter to make it with.

VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "gentool needs Python 3.11 or later; name one with PYTHON=/path/to/python3" >&2
    exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"

# Installed is what this pyproject.toml asks for; when it changes, install again.
wanted="${EXTRAS:-} $(cksum <pyproject.toml)"
if [ "$(cat "$VENV/installed${EXTRAS:-}" 2>/dev/null)" != "$wanted" ]; then
    echo "installing gentool into $VENV (PyTorch is large: some minutes the first time)" >&2
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${EXTRAS:-}" >&2
    echo "$wanted" >"$VENV/installed${EXTRAS:-}"
fi
PATH=$(cd "$VENV/bin" && pwd):$PATH
export PATH
