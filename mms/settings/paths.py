"""Settings that name folders and files: what is wrong with such a name, told before anything needs it."""

from __future__ import annotations

import os
from pathlib import Path


def odd_text(text: str) -> str | None:
    """Return a warning for a text with a blank around it or a control character; None for any other."""
    if text != text.strip():
        return "begins or ends with a blank, which belongs to it"
    if not text.isprintable():
        return "has a control character; in this file a backslash is written twice"
    return None


def store_problem(text: str) -> str | None:
    """Return a warning for a model store that is not there, or is itself a model."""
    if os.path.isdir(os.path.join(text, "MAR-INF")):
        return "is itself a model: it has a folder MAR-INF. Name the folder that it lies in"
    return _folder_missing(text)


def _folder_missing(text: str) -> str | None:
    if os.path.isdir(text):
        return None
    trimmed = text.strip()
    if trimmed != text and os.path.isdir(trimmed):
        return f"is not an existing folder: it begins or ends with a blank; {trimmed} exists"
    return "is not an existing folder"


def plugins_problem(text: str) -> str | None:
    """Return a warning for a folder of plugins that has none; a Java class path may end in an asterisk."""
    folder = text.split("*")[0]
    problem = _folder_missing(folder)
    if problem is not None:
        return f"{problem}, so no plugins are loaded from it"
    if any(Path(folder).glob("*.jar")):
        return (
            "has JAR files, which have no effect: this server runs no Java. Plugins are Python files with an "
            "`endpoints` list"
        )
    return None


def folder_unusable(text: str) -> str | None:
    """Return why a folder cannot be made or written to."""
    path = Path(text).absolute()
    existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not existing.is_dir():
        return f"cannot be used: {existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"cannot be used: {existing} must be writable for this user"
    return None


def not_a_file(text: str) -> str | None:
    """Return what is in the place of a file. A pipe would be waited for, and a device may have no end."""
    if os.path.isdir(text):
        return "cannot be used: it is a folder, not a file"
    if os.path.exists(text) and not os.path.isfile(text):
        return "cannot be used: it is a pipe or a device, not a file"
    return None


def file_unusable(text: str) -> str | None:
    """Return why a file cannot be written in its folder, which may have to be made."""
    if (reason := not_a_file(text)) is not None:
        return reason
    return folder_unusable(os.path.dirname(os.path.abspath(text)))


def module_of(handler: str) -> str:
    """Return the module or file that a handler names."""
    return handler.rpartition(":")[0] or handler


def handler_missing(text: str) -> str | None:
    """Return a warning for a handler by an absolute path where no such file is. Others may lie in each archive."""
    module = module_of(text)
    path = module if module.endswith(".py") else f"{module}.py"
    if not os.path.isabs(path) or os.path.isfile(path):
        return odd_text(text)
    return f"names the file {path}, which does not exist; models without a handler of their own cannot load"
