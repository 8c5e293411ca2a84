"""Syntax trees of foreign code, which is not run."""

from __future__ import annotations

import ast
import threading
import warnings

#: Of a source that a server looks at. The parser keeps every other thread of the process waiting, for seconds with a
#: megabyte, and takes hundreds of times the memory.
MAX_SOURCE_BYTES = 100_000
#: The filters of warnings belong to the whole process, and so does the depth that parsers before Python 3.12 count:
#: with two at once a file that is right may end in SystemError.
_one_at_a_time = threading.Lock()


def parsed(source: bytes | str, file_name: str) -> ast.Module:
    """Raises SyntaxError, and ValueError, RecursionError or MemoryError for what no parser takes."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are the author's matter
        return ast.parse(source, filename=file_name)


def tree_of(source: bytes | str, file_name: str) -> ast.Module | None:
    """Return the syntax tree; None for what no parser takes."""
    try:
        return parsed(source, file_name)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
