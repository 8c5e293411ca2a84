"""Print the modules and names of unpacked packages of mlrun, for `mms/interfaces/mlrun/authoring/names_of_mlrun.txt`.

    python scripts/list_mlrun_names.py names_of_mlrun.txt mlrun-1.12.1/mlrun ... > more_names.txt

The packages are read, not imported. An argument that is a file is such a list, whose names are kept. Of each module
there is a line: its name, then its public names.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

#: What runs in MLRun's service, and what is run as a program.
_LEFT_OUT = ("mlrun.api", "mlrun.db.sql", "mlrun.db.file", "mlrun.builder", "mlrun.httpd")


def names_in(package: Path) -> dict[str, set[str]]:
    """Return the public names of each module of a package. Raises OSError, SyntaxError."""
    found: dict[str, set[str]] = {}
    taken_over: list[tuple[str, str]] = []
    for file in package.rglob("*.py"):
        parts = (package.name, *file.relative_to(package).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        if module.startswith(_LEFT_OUT) or "__" in module:
            continue
        names = found.setdefault(module, set())
        around = parts[:-1]
        for node in ast.parse(file.read_bytes(), str(file)).body:
            names.update(_bound(node))
            if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
                above = around[: len(around) - node.level + 1] if node.level else ()
                taken_over.append((module, ".".join((*above, node.module or ""))))
    for module, source in taken_over:
        found[module] |= found.get(source, set())
    return found


def listed_in(file: Path) -> dict[str, set[str]]:
    """Return the names of each module that an earlier list has. Raises OSError."""
    lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return {module: set(names) for module, *names in lines}


def _bound(node: ast.stmt) -> set[str]:
    names: set[str] = set()
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        names = {node.name}
    elif isinstance(node, ast.Assign):
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = {node.target.id}
    elif isinstance(node, ast.ImportFrom):
        is_own = node.level or (node.module or "").partition(".")[0] == "mlrun"
        names = {alias.asname or alias.name for alias in node.names} if is_own else set()
    return {name for name in names if not name.startswith("_") and name != "*"}


def main() -> None:
    found: dict[str, set[str]] = {}
    for argument in sys.argv[1:]:
        path = Path(argument)
        for module, names in (listed_in(path) if path.is_file() else names_in(path)).items():
            found.setdefault(module, set()).update(names)
    for module in sorted(found):
        submodules = {
            name.rpartition(".")[2] for name in found if name.rpartition(".")[0] == module
        }
        print(*(module, *sorted(found[module] - submodules)))


if __name__ == "__main__":
    main()
