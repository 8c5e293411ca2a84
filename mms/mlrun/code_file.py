"""The code of a function: a file of Python or a notebook, and the module made of it."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from mms.mlrun.errors import MLRunInvalidArgumentError

_MARKS = ("nuclio", "mlrun")
_STARTS = ("start-code", "code-start", "start")
_ENDS = ("end-code", "code-end", "end")
#: Cells of these are Python below their first line.
_CELL_MAGICS_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def code_of(path: str) -> str:
    """The Python code of a .py file or of a notebook's cells. Raises OSError and MLRunInvalidArgumentError."""
    with open(path, encoding="utf-8") as source:
        text = source.read()
    if path.endswith(".ipynb"):
        return code_of_notebook(text, path)
    if not path.endswith(".py"):
        raise MLRunInvalidArgumentError(
            f"{path} is neither a Python file (.py) nor a notebook (.ipynb)"
        )
    return text


def code_of_notebook(text: str, path: str) -> str:
    """The code of a notebook's document.

    A cell that has a line `# mlrun: ignore` is left out; so is all before `# mlrun: start-code` and after
    `# mlrun: end-code`; `nuclio` may stand for `mlrun`. Commands to the notebook (`%...`, `!...`) are left out.
    """
    import json

    try:
        document = json.loads(text)
        cells = document["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise MLRunInvalidArgumentError(f"{path} is no notebook: {error}") from error
    kept: list[str] = []
    for cell in cells:
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source") or ""
        lines = (source if isinstance(source, str) else "".join(source)).splitlines()
        if any(_mark(line) == "ignore" for line in lines):
            continue
        has_ended = False
        own: list[str] = []
        for line in lines:
            mark = _mark(line)
            if mark in _STARTS:
                kept.clear()
                own.clear()
            elif mark in _ENDS:
                has_ended = True
                break
            else:
                own.append(line)
        code = _without_commands(own)
        if code.strip():
            kept.append(code.strip("\n"))
        if has_ended:
            break
    return "\n\n\n".join(kept) + "\n" if kept else ""


def load_module(path: str | None, code: str | None = None, name: str | None = None) -> ModuleType:
    """Run code as a module, whose name is the file's where nothing else has it. Every call runs it anew.

    `code`: in place of the file's. The file's folder is searched for its imports.
    Raises OSError, MLRunInvalidArgumentError, and whatever the code raises.
    """
    if code is None:
        if path is None:
            raise MLRunInvalidArgumentError("a module needs a file or its code")
        code = code_of(path)
    file = os.path.abspath(path) if path else f"<code of {name or 'function'}>"
    stem = name or os.path.splitext(os.path.basename(file))[0]
    module = ModuleType(_free_name(_identifier(stem), file))
    module.__file__ = file
    if path is None or path.endswith(".ipynb"):
        _show_in_tracebacks(file, code)
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
    """Where a function's file is: below its folder, if it has one."""
    return os.path.join(folder, file) if folder else file


def _mark(line: str) -> str | None:
    """What `# mlrun: <mark> [name]` says; None for another line."""
    stripped = line.strip()
    if not stripped.startswith("#"):
        return None
    owner, colon, rest = stripped[1:].strip().partition(":")
    words = rest.split()
    return words[0] if colon and owner.strip() in _MARKS and words else None


def _without_commands(lines: list[str]) -> str:
    import ast

    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%"):
        if first.split()[0] not in _CELL_MAGICS_OF_PYTHON:
            return ""
        lines = lines[lines.index(next(line for line in lines if line.strip())) + 1 :]
    code = "\n".join(lines)
    try:
        ast.parse(code)
    except SyntaxError:
        # Not where the code is valid: `% 3` may go on with the line above it.
        return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
    return code


def _identifier(stem: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in stem) or "function"


def _free_name(name: str, file: str) -> str:
    """The name, unless a module of another file has it."""
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
