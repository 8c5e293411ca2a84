"""Whatever the event loop of the server calls lets no exception out, or a table of faults shows what comes of it.

What comes out of a callback is logged by the loop, and what the callback left undone stays undone: a timer that is not
set again, a client without its answer, a worker that nobody ends.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from support.sources import parsed

ROOT = Path(__file__).parents[2]
#: Which argument of these is called by the loop.
_GIVEN = {
    "add_done_callback": 0,
    "add_reader": 1,
    "add_signal_handler": 1,
    "add_writer": 1,
    "call_at": 1,
    "call_later": 1,
    "call_soon": 0,
    "call_soon_threadsafe": 0,
}
_OF_PROTOCOLS = {
    *("connection_made", "connection_lost", "data_received", "eof_received"),
    *("get_buffer", "buffer_updated", "pause_writing", "resume_writing"),
}
#: Rooms whose code runs on loops of other processes, or of threads of their own.
_ELSEWHERE = (
    "mms/cluster/front_host.py",
    "mms/cluster/owner.py",
    "mms/cluster/placing.py",
    "mms/load_test/",
    "mms/worker/",
    "mms/launch/nodes/host.py",
    "mms/launch/nodes/relay.py",
    "mms/launch/ray/placer_process.py",
    "mms/sockets/front_processes/client.py",
    "mms/sockets/front_processes/process.py",
    "mms/tracking/kafka_sink.py",
    "mms/interfaces/mlrun/awaiting.py",
    "mms/interfaces/seldon/packages/",
    "mms/repository/download.py",
)
#: Methods of loops, transports, tasks, futures, sets and the like, which raise nothing as they are used.
_SAFE_METHODS = {
    *(*_GIVEN, "create_task", "remove_reader", "remove_writer"),
    *("abort", "close", "is_closing", "write", "pause_reading", "resume_reading"),
    *("cancel", "cancelled", "done", "exception", "result", "set", "is_set", "set_result"),
    *("add", "append", "clear", "discard", "get", "items", "keys", "pop", "popleft", "values"),
    *("get_write_buffer_size", "release", "debug", "info", "warning", "error", "exception"),
}
_SAFE_FUNCTIONS = {
    *(
        "bool",
        "cast",
        "dict",
        "float",
        "range",
        "int",
        "isinstance",
        "len",
        "list",
        "max",
        "min",
        "tuple",
    ),
    *("RequestTimeout", "UnexpectedError"),
    *("time.monotonic", "asyncio.get_running_loop", "faults.note", "memoryview", "bytes"),
}
_GUARDS = {"faults.contained", "faults.ends_connection"}
_TABLES = (
    "tests/serving/test_unexpected_errors.py",
    "tests/http/test_connection_faults.py",
    "tests/grpc/test_grpc_connection_faults.py",
)
#: Given to the loop and looked at by no rule here, and why nothing is lost by that.
_EXCEPTIONS = {
    "link.kill": "Link's, which guards the only step that is not a transport's",
    "request.fail": "Request's, which lets nothing out; tests of replies hold it to that",
    "self.registry.all": "copies a list",
    "tell": "`tell` of RequirementsInstaller, which guards each listener",
}


def _modules() -> Iterator[tuple[str, ast.Module, bool]]:
    """(file, its tree, whether it has a callback)."""
    for path in sorted((ROOT / "mms").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(_ELSEWHERE):
            text = path.read_text()
            yield name, parsed(path), any(word in text for word in (*_GIVEN, "Protocol"))


def _load(name: str) -> ModuleType:
    path = ROOT / name
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"callbacks_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> set[str]:
    """`Class.method` of each row."""
    rows: set[str] = set()
    for name in _TABLES:
        module = _load(name)
        for table in ("TABLE", "TABLE_BEHIND_AIOHTTP"):
            rows |= {f"{row.owner.__name__}.{row.name}" for row in getattr(module, table, ())}
    return rows


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
#: A function, and what encloses it and is it, the outermost first.
_Definition: TypeAlias = tuple[_Function, tuple[ast.AST, ...]]


@dataclass(frozen=True)
class Callback:
    """What is given to the loop, or is a protocol's."""

    text: str
    value: ast.expr
    #: What encloses it, the innermost last.
    scopes: tuple[ast.AST, ...]


class _Finder(ast.NodeVisitor):
    """Finds all callbacks of a module."""

    def __init__(self) -> None:
        self.found: list[Callback] = []
        self._scopes: list[ast.AST] = []

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.ClassDef) and _is_of_transports(node):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name in _OF_PROTOCOLS:
                    method = ast.Attribute(ast.Name("self"), member.name)
                    text = f"{node.name}.{member.name}"
                    self.found.append(Callback(text, method, (*self._scopes, node)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            position = _GIVEN.get(node.func.attr, len(node.args))
            for given in node.args[position : position + 1]:
                self.found.append(Callback(ast.unparse(given), given, tuple(self._scopes)))
        is_scope = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if is_scope:
            self._scopes.append(node)
        super().generic_visit(node)
        if is_scope:
            self._scopes.pop()


def _is_of_transports(node: ast.ClassDef) -> bool:
    bases = {ast.unparse(base) for base in node.bases}
    return bool(bases & {"asyncio.Protocol", "asyncio.BufferedProtocol"})


class _Rules:
    """Says of a callback what could come out of it."""

    def __init__(self, modules: list[ast.Module], rows: set[str]) -> None:
        self._rows = rows
        self._seen: set[ast.AST] = set()
        #: Methods by their names, with what encloses them.
        self._methods: dict[str, list[_Definition]] = defaultdict(list)
        for tree in modules:
            for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
                for member in owner.body:
                    if isinstance(member, _FUNCTIONS):
                        self._methods[member.name].append((member, (tree, owner, member)))

    def leaks(self, value: ast.expr, scopes: tuple[ast.AST, ...]) -> Iterator[str]:
        """What a callable calls that may raise, outside of all guards."""
        self._seen.clear()
        if isinstance(value, ast.Lambda):
            yield from self._of_expressions([value.body], scopes)
        elif isinstance(value, ast.Call) and ast.unparse(value.func) == "partial":
            yield from self._of_called(value.args[0], scopes)
        else:
            yield from self._of_called(value, scopes)

    def _of_called(self, function: ast.expr, scopes: tuple[ast.AST, ...]) -> Iterator[str]:
        text = ast.unparse(function)
        if text in _SAFE_FUNCTIONS or text in _EXCEPTIONS:
            return
        definition = self._find(function, scopes)
        if definition is not None:
            yield from self._of_function(*definition)
        elif not (isinstance(function, ast.Attribute) and function.attr in _SAFE_METHODS):
            yield text

    def _find(self, function: ast.expr, scopes: tuple[ast.AST, ...]) -> _Definition | None:
        """A method of the class around, the only method of its name, or a function of the scopes around."""
        if isinstance(function, ast.Attribute):
            named = self._methods[function.attr]
            if ast.unparse(function.value) == "self":
                return next((found for found in named if found[1][1] in scopes), None)
            return named[0] if len(named) == 1 and function.attr not in _SAFE_METHODS else None
        for depth in range(len(scopes), 0, -1):
            scope: Any = scopes[depth - 1]
            for member in [] if isinstance(scope, ast.ClassDef) else scope.body:
                if isinstance(member, _FUNCTIONS) and member.name == ast.unparse(function):
                    return member, (*scopes[:depth], member)
        return None

    def _of_function(self, node: _Function, scopes: tuple[ast.AST, ...]) -> Iterator[str]:
        owner = next((s.name for s in reversed(scopes) if isinstance(s, ast.ClassDef)), "")
        guards = {ast.unparse(found).partition("(")[0] for found in node.decorator_list}
        if isinstance(node, ast.AsyncFunctionDef) or node in self._seen or guards & _GUARDS:
            return
        if f"{owner}.{node.name}" in self._rows:
            return
        self._seen.add(node)
        yield from self._of_body(node.body, scopes)

    def _of_body(self, body: list[ast.stmt], scopes: tuple[ast.AST, ...]) -> Iterator[str]:
        for statement in body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Assert():
                    continue
                case ast.Raise():
                    yield ast.unparse(statement)
                case ast.With(items=[ast.withitem(context_expr=ast.Call(func=guard))]) if (
                    ast.unparse(guard) in _GUARDS
                ):
                    continue
                case ast.Try(handlers=handlers) if any(
                    handler.type is None or ast.unparse(handler.type) == "Exception"
                    for handler in handlers
                ):
                    for handler in handlers:
                        yield from self._of_body(handler.body, scopes)
                    yield from self._of_body(statement.orelse + statement.finalbody, scopes)
                case _:
                    parts = list(ast.iter_child_nodes(statement))
                    for part in parts:
                        if isinstance(part, ast.ExceptHandler):
                            yield from self._of_body(part.body, scopes)
                    yield from self._of_body([p for p in parts if isinstance(p, ast.stmt)], scopes)
                    yield from self._of_expressions(
                        [p for p in parts if isinstance(p, (ast.expr, ast.withitem))], scopes
                    )

    def _of_expressions(self, parts: list[Any], scopes: tuple[ast.AST, ...]) -> Iterator[str]:
        for part in parts:
            for node in ast.walk(part):
                if isinstance(node, ast.Call):
                    yield from self._of_called(node.func, scopes)


def _all_leaks(rows: set[str]) -> Iterator[tuple[str, str]]:
    """(callback with its file, what may come out of it)."""
    modules = list(_modules())
    rules = _Rules([tree for _, tree, _ in modules], rows)
    for file, tree, has_callbacks in modules:
        if not has_callbacks:
            continue
        finder = _Finder()
        finder.visit(tree)
        for callback in finder.found:
            for leak in rules.leaks(callback.value, (tree, *callback.scopes)):
                yield f"{file}: {callback.text}", leak


def test_what_the_loop_calls_lets_no_exception_out(tables: set[str]) -> None:
    leaks = [f"{callback} lets out what {leak} raises" for callback, leak in _all_leaks(tables)]
    assert leaks == []
