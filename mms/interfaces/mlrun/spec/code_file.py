"""The code of a function: a file of Python or a notebook, and the module made of it."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.text.python_source import MAX_SOURCE_BYTES, tree_of

_MARKS = ("nuclio", "mlrun")
_STARTS = ("start-code", "code-start", "start")
_ENDS = ("end-code", "code-end", "end")
#: Calls that make functions: where a file or a notebook begins to deploy and test.
_FUNCTION_MAKERS = (
    *("code_to_function", "new_function", "import_function", "function_from_dict"),
    *("deploy_function", "create_graph_server", "new_model_server"),
)
_MAKERS = (*_FUNCTION_MAKERS, "new_project", "get_or_create_project", "load_project")
_COMMAND = re.compile(r"\s*([%!?]|[\w.]+\?\??\s*$)")
_ASSIGNED_COMMAND = re.compile(r"(\s*\w+\s*=\s*)[%!]")
_DEFINITIONS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef),
    ast.ClassDef,
)
#: Cells of these are Python below their first line.
_CELL_MAGICS_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def _display(*values: Any, **_: Any) -> None:
    """Print values, as a notebook shows them without a browser."""
    for value in values:
        sys.stdout.write(repr(value) + "\n")


#: What cells find in a notebook without importing it.
NOTEBOOK_NAMES = {"display": _display, "get_ipython": lambda: None}


def code_of(path: str) -> str:
    """Return the code of a .py file, or of a function in a notebook. Raises OSError, MLRunInvalidArgumentError."""
    with open(path, encoding="utf-8") as source:
        text = source.read()
    if path.endswith(".ipynb"):
        return code_of_notebook(text, path)
    if not path.endswith(".py"):
        raise MLRunInvalidArgumentError(
            f"{path} is neither a Python file (.py) nor a notebook (.ipynb)"
        )
    return without_own_deployment(text)


def code_of_notebook(text: str, path: str) -> str:
    """Return the code of a notebook's document that is a function's.

    A cell that has a line `# mlrun: ignore` is left out; so is all before `# mlrun: start-code` and after
    `# mlrun: end-code`; `nuclio` may stand for `mlrun`. Where a notebook marks neither, what makes, deploys and asks
    functions is left out. Commands to the notebook (`%...`, `!...`) always are.
    """
    kept: list[str] = []
    has_marks = False
    for lines in _cells(text, path):
        if any(_mark(line) == "ignore" for line in lines):
            continue
        has_ended = False
        own: list[str] = []
        for line in lines:
            mark = _mark(line)
            if mark in _STARTS:
                has_marks = True
                kept.clear()
                own.clear()
            elif mark in _ENDS:
                has_marks = has_ended = True
                break
            else:
                own.append(line)
        kept.append(_without_commands(own))
        if has_ended:
            break
    return _joined(kept if has_marks else without_deployment(kept))


def code_to_run(path: str) -> str:
    """Return all code of a notebook's cells, as somebody runs it from top to bottom. Raises as `code_of` does."""
    with open(path, encoding="utf-8") as source:
        return _joined([_without_commands(lines) for lines in _cells(source.read(), path)])


def without_deployment(cells: list[str]) -> list[str]:
    """Return the same cells without the statements that make functions, and those that use what these have made.

    Imports, functions and classes all stay. A cell that is no Python stays as it is.
    """
    made: set[str] = set()
    return [_cell_without_deployment(code, made) for code in cells]


def without_own_deployment(code: str) -> str:
    """Return the code of a file, without what makes, deploys and asks functions outside `if __name__ == "__main__":`.

    It is the same code where nothing of that kind is in it, and where there is more of it than a server looks at. Lines
    keep their numbers.
    """
    tree = tree_of(code, "code") if len(code) <= MAX_SOURCE_BYTES else None
    if tree is None:
        return code
    own = {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}
    is_deployed = any(
        _names_in(part, [name for name in _FUNCTION_MAKERS if name not in own])[2]
        for part in tree.body
        if not isinstance(part, _DEFINITIONS)
    )
    return without_deployment([code])[0] if is_deployed else code


def _cell_without_deployment(code: str, made: set[str]) -> str:
    tree = tree_of(code, "code")
    if tree is None:
        return code
    lines = code.splitlines()
    is_whole = True
    for statement in tree.body:
        if isinstance(statement, _DEFINITIONS):
            continue
        used, bound, has_call = _names_in(statement)
        if not has_call and not used & made:
            made -= bound
            continue
        made |= bound
        is_whole = False
        last = statement.end_lineno or statement.lineno
        lines[statement.lineno - 1 : last] = [""] * (last - statement.lineno + 1)
    return code if is_whole else "\n".join(lines)


def _names_in(
    statement: ast.stmt, makers: Sequence[str] = _MAKERS
) -> tuple[set[str], set[str], bool]:
    """Return (names that a statement uses, names that it binds, whether it calls one of `makers`)."""
    used: set[str] = set()
    bound: set[str] = set()
    has_call = False
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            has_call = has_call or name in makers
    return used, bound, has_call


def _cells(text: str, path: str) -> list[list[str]]:
    """Return the lines of a notebook's cells of code. Raises MLRunInvalidArgumentError for what is no notebook."""
    import json

    try:
        sources = [
            cell.get("source") or ""
            for cell in json.loads(text)["cells"]
            if cell.get("cell_type") == "code"
        ]
        return [
            (source if isinstance(source, str) else "".join(source)).splitlines()
            for source in sources
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MLRunInvalidArgumentError(f"{path} is not a notebook: {error}") from error


def _joined(cells: list[str]) -> str:
    kept = [code.strip("\n") for code in cells if code.strip()]
    return "\n\n\n".join(kept) + "\n" if kept else ""


def load_module(path: str | None, code: str | None = None, name: str | None = None) -> ModuleType:
    """Run code as a module, whose name is the file's where nothing else has it. Every call runs it anew.

    `code`: in place of the file's. The file's folder is searched for its imports.
    Raises OSError, MLRunInvalidArgumentError, and whatever the code raises.
    """
    if code is not None:
        code = without_own_deployment(code)
    elif path is not None:
        code = code_of(path)
    else:
        raise MLRunInvalidArgumentError("a module needs a file or its code")
    file = os.path.abspath(path) if path else f"<code of {name or 'function'}>"
    stem = name or os.path.splitext(os.path.basename(file))[0]
    module = ModuleType(_free_name(_identifier(stem), file))
    module.__file__ = file
    if path is None or path.endswith(".ipynb"):
        _show_in_tracebacks(file, code)
        vars(module).update(NOTEBOOK_NAMES)
    if path:
        folder = os.path.dirname(file)
        if folder not in sys.path:
            sys.path.insert(0, folder)
    before = sys.modules.get(module.__name__)
    # Objects of its classes are pickled by this name.
    sys.modules[module.__name__] = module
    try:
        exec(compile(code, file, "exec"), module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise
    return module


def path_of(folder: str | None, file: str) -> str:
    """Return where a function's file is: below its folder, if it has one."""
    return os.path.join(folder, file) if folder else file


def _mark(line: str) -> str | None:
    """Return what `# mlrun: <mark> [name]` says; None for another line."""
    stripped = line.strip()
    if not stripped.startswith("#"):
        return None
    owner, colon, rest = stripped[1:].strip().partition(":")
    words = rest.split()
    return words[0] if colon and owner.strip() in _MARKS and words else None


def _without_commands(lines: list[str]) -> str:
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%"):
        if first.split()[0] not in _CELL_MAGICS_OF_PYTHON:
            return ""
        lines = lines[lines.index(next(line for line in lines if line.strip())) + 1 :]
    code = "\n".join(lines)
    if tree_of(code, "code") is None:
        # Not where the code is valid: `% 3` may go on with the line above it.
        kept = [_without_command(line) for line in lines]
        return "\n".join(line for line in kept if line is not None)
    return code


def _without_command(line: str) -> str | None:
    """Return the line; None for a command or a question (`!ls`, `%cd x`, `name?`), which is `pass` within a block."""
    if _COMMAND.match(line):
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}pass" if indent else None
    assigned = _ASSIGNED_COMMAND.match(line)
    return f"{assigned[1]}None" if assigned else line


def _identifier(stem: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in stem) or "function"


def _free_name(name: str, file: str) -> str:
    """Return the name, unless a module of another file has it."""
    number = 1
    free = name
    while (found := sys.modules.get(free)) is not None and getattr(found, "__file__", None) != file:
        number += 1
        free = f"{name}_{number}"
    return free


def _show_in_tracebacks(file: str, code: str) -> None:
    import linecache

    lines = code.splitlines(keepends=True)
    entry: Any = (len(code), None, lines, file)
    linecache.cache[file] = entry
