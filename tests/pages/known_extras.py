"""Stands for `pip` in pages. `install` fails for an extra, a file or a package that is not of this project."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(arguments: list[str]) -> str | None:
    """What is wrong, None for nothing."""
    command, *requirements = arguments
    if command == "uninstall":
        return None
    if command != "install":
        return f"pip {command}"
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    section = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))
    while requirements:
        requirement = requirements.pop(0)
        if requirement == "-r":
            if not Path(requirements.pop(0)).is_file():
                return "no such file of requirements"
            continue
        named = re.fullmatch(r"(\.|marserve)(?:\[([\w,]+)\])?", requirement)
        if named is None:
            return f"{requirement} is not this project"
        unknown = set((named[2] or "").split(",")) - extras - {""}
        if unknown:
            return f"{requirement}: no extra {', '.join(sorted(unknown))}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
