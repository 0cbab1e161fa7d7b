# Sourced by the other scripts: installs gentool into the virtual environment .venv, or reuses it.
# Needs Python 3.11 or later.
#
#   . examples/environment.sh                  gentool alone
#   EXTRAS='[dev]' . examples/environment.sh   with the packages that its tests need
#
# VENV names another folder for the environment, PYTHON the interpreter that makes it.

VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "gentool needs Python 3.11 or later; name one with PYTHON=/path/to/python3" >&2
    exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"

# A file in the environment holds the checksum of pyproject.toml; when that changes, install again.
wanted="${EXTRAS:-} $(cksum <pyproject.toml)"
if [ "$(cat "$VENV/installed${EXTRAS:-}" 2>/dev/null)" != "$wanted" ]; then
    echo "installing gentool into $VENV (PyTorch is large: some minutes the first time)" >&2
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${EXTRAS:-}" >&2
    echo "$wanted" >"$VENV/installed${EXTRAS:-}"
fi
PATH=$(cd "$VENV/bin" && pwd):$PATH
export PATH
