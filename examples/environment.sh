# Sourced by the other scripts: in a clone of gentool, installs it into the virtual environment .venv,
# or reuses that. Needs Python 3.11 or later. Copied by `gentool examples`, the scripts use the
# gentool that is installed.
#
#   . examples/environment.sh                  gentool alone
#   EXTRAS='[dev]' . examples/environment.sh   with the packages that its tests need
#
# VENV names another folder for the environment, PYTHON the interpreter that makes it.

if [ ! -f gentool/common/version.py ]; then # no clone
    command -v gentool >/dev/null || {
        echo "gentool is not on the PATH; activate the environment that it is installed in" >&2
        exit 1
    }
    return
fi

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
