# Sourced by the commands of this folder. `find_python` sets `python` to an interpreter that is new enough
# and can make virtual environments: $PYTHON if it is set, else the project's own, else the first on PATH.

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

can_make_environments() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

find_python() {
    without_venv=
    for python in ${PYTHON:+"$PYTHON"} "$1/.venv/bin/python" \
        python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        is_new_enough "$python" || continue
        can_make_environments "$python" && return 0
        without_venv=$python
    done
    if [ -n "$without_venv" ]; then
        echo "$without_venv cannot make virtual environments: its modules venv and ensurepip are missing." >&2
        echo "On Debian and Ubuntu: apt install python3-venv" >&2
    else
        echo "Python 3.10 or newer is needed and was not found on PATH." >&2
        echo "Name one with the variable PYTHON: PYTHON=/path/to/python3 $0" >&2
    fi
    return 1
}
