# Read by the other scripts with `.`: the project's own Python environment in .venv, installed once.
# It leaves $root (the checkout) and $venv; `install_once [EXTRA]` makes the environment fit for its work.
# shellcheck shell=sh

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv

fail() {
    printf '%s: %s\n' "$(basename -- "$0")" "$1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# $PYTHON, or the first Python >= 3.11 on the path.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON is set to '$PYTHON', which is no Python >= 3.11 that runs."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>&1) || found="no python3"
    fail "expected Python >= 3.11 on the path, found $found; install one, or name it: PYTHON=/path/to/python3.11 $0"
}

make_venv() {
    python=$(find_python) || exit 1
    # Without --clear, so that an interrupted attempt is completed and nobody's files are lost.
    "$python" -m venv "$venv" && return
    # Some systems ship Python without ensurepip; then the system's pip fills the environment.
    { "$python" -m venv --without-pip "$venv" && "$python" -m pip --python "$venv/bin/python" install pip; } ||
        fail "could not make $venv with $python; install Python's venv module (on Debian: python3-venv)."
}

# What an installation depends on: the checkout's place, the interpreter, and the two files.
fingerprint() {
    {
        printf '%s\n' "$root"
        "$venv/bin/python" -c 'import sys; print(sys.version)'
        cat "$root/pyproject.toml" "$root/constraints.txt"
    } | cksum
}

# install_once [EXTRA]: the project, editable, with that extra. Does nothing where this was done before.
install_once() {
    extra=${1:-}
    if [ -e "$venv/bin/python" ] || [ -L "$venv/bin/python" ]; then
        is_new_enough "$venv/bin/python" ||
            fail "$venv holds no Python >= 3.11 that runs; remove that folder and run this again."
    fi
    stamp=$venv/installed-${extra:-base}
    if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; then
        return
    fi
    if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
    # From here to the end no stamp stands: an interrupted installation is done again.
    rm -f "$venv"/installed-*
    printf 'Installing medsegdist in %s (once; this takes minutes) ...\n' "$venv" >&2
    "$venv/bin/python" -m pip install --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root${extra:+[$extra]}" >&2 ||
        fail "the installation failed; the messages above say why. Run this again when that is mended."
    fingerprint >"$venv/installed-base"
    if [ -n "$extra" ]; then cp "$venv/installed-base" "$stamp"; fi
}
