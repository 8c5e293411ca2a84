"""Sets up `.venv`, which has what the comparison itself needs, then runs it. Started by `scripts/bench`."""

from __future__ import annotations

import os
import sys

from console import Steps
from environment import PYTHON, ROOT, SetUpFailed, child_environment, prepare


def main() -> int:
    steps = Steps(1)
    steps.start("set-up: .venv")
    try:
        prepare((), steps)
    except SetUpFailed as error:
        print(error, file=sys.stderr)
        return 1
    os.chdir(ROOT)
    os.execve(PYTHON, [str(PYTHON), "-m", "benchmarks", *sys.argv[1:]], child_environment())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
