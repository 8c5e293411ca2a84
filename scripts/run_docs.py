"""Builds the documentation as a site; a link that leads nowhere, or a page that no menu shows, fails it.

Started by `scripts/docs`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from console import INDENT, Steps
from environment import PYTHON, ROOT, SetUpFailed, child_environment, prepare

SITE = ROOT / "build" / "site"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/docs", description="Build the documentation as a site, in build/site."
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="serve it on http://127.0.0.1:8000, anew on each change",
    )
    is_served = parser.parse_args().serve
    steps = Steps(2)
    steps.start("set-up: .venv")
    try:
        prepare(("docs",), steps)
    except SetUpFailed as error:
        print(error, file=sys.stderr)
        return 1
    steps.start("mkdocs serve" if is_served else "mkdocs build")
    # Not quiet: what is not shown is not counted by --strict either.
    command = ["serve"] if is_served else ["build", "--clean"]
    try:
        finished = subprocess.run(
            [str(PYTHON), "-m", "mkdocs", *command, "--strict"],
            cwd=ROOT,
            env={**child_environment(), "NO_MKDOCS_2_WARNING": "1"},
        )
    except KeyboardInterrupt:
        return 130
    if finished.returncode == 0:
        print(f"{INDENT}the site begins at {SITE / 'index.html'}")
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main())
