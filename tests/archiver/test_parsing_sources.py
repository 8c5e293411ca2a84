"""What a handler's source says."""

from __future__ import annotations

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mms.text.python_source import parsed


def test_sources_are_parsed_one_at_a_time_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once may end in SystemError for a source that is right."""
    parse, busy, both = ast.parse, threading.Lock(), threading.Barrier(2)
    overlaps = []

    def watched(*arguments: Any, **options: Any) -> ast.AST:
        if not busy.acquire(blocking=False):
            overlaps.append(arguments)
            return parse("")
        try:
            # A turn for the other one.
            threading.Event().wait(0.05)
            return parse(*arguments, **options)
        finally:
            busy.release()

    def ask(number: int) -> ast.Module:
        both.wait()
        return parsed(f"a = {number}", "model.py")

    monkeypatch.setattr(ast, "parse", watched)
    with ThreadPoolExecutor(2) as threads:
        trees = list(threads.map(ask, range(2)))
    assert [ast.unparse(tree) for tree in trees] == ["a = 0", "a = 1"]
    assert not overlaps
