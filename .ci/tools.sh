#!/usr/bin/env bash
# Say in one sentence what this machine lacks; print the Python to use on stdout.
set -euo pipefail

refuse() {
    echo "error: $*" >&2
    exit 1
}

python_fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || refuse "PYTHON=$PYTHON is not a program on this machine."
        python_fits "$PYTHON" || refuse "PYTHON=$PYTHON is $("$PYTHON" -V 2>&1 || true); Python 3.11, 3.12 or 3.13 is needed."
        command -v "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && python_fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    command -v python3 >/dev/null || refuse "python3 is not on PATH: install Python 3.11, 3.12 or 3.13."
    refuse "python3 is $(python3 -V 2>&1); Python 3.11, 3.12 or 3.13 is needed (or name one: make PYTHON=/path/to/python3.12)."
}

command -v git >/dev/null || refuse "git is not on PATH: install it."
command -v node >/dev/null || refuse "node is not on PATH: install Node.js 18 or newer (it compiles the test contracts)."
node -e 'process.exit(+process.versions.node.split(".")[0] < 18 ? 1 : 0)' ||
    refuse "node is $(node -v): Node.js 18 or newer is needed."
command -v npm >/dev/null || refuse "npm is not on PATH: install it (it comes with Node.js)."

machine="$(uname -s) $(uname -m)"
if [ "$machine" != "Linux x86_64" ] && [ -z "${KEEPER_ANVIL:-}" ] && ! command -v anvil >/dev/null; then
    refuse "the pinned anvil is for Linux on x86_64, this is $machine: install anvil 1.7 yourself and set KEEPER_ANVIL to it."
fi

python="$(find_python)"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    refuse "$python cannot make virtual environments: install its venv package (Debian: apt install python3-venv)."
echo "$python"
