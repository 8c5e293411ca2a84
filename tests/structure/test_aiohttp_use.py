"""aiohttp is used as its documentation shows it: no private members, no subclasses of its protocols."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.sources import parsed

ROOT = Path(__file__).resolve().parents[2]
#: Where aiohttp keeps its protocols and parsers.
PRIVATE_MODULES = (
    "aiohttp.base_protocol",
    "aiohttp.http_parser",
    "aiohttp.http_writer",
    "aiohttp.streams",
    "aiohttp.web_protocol",
    "aiohttp.web_server",
)
PROTOCOLS = {"RequestHandler", "BaseProtocol", "HttpRequestParser", "StreamWriter", "Server"}
#: What a class knows of its own, whatever the name it has there.
OWN = {"self", "cls", "other"}


def files_with_aiohttp() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted((ROOT / "mms").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "import aiohttp" in text or "from aiohttp" in text:
            yield str(file.relative_to(ROOT)), parsed(file)


def private_uses(tree: ast.Module) -> Iterator[int]:
    """Lines with a private member of something that is not the class's own."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            # Of a named tuple.
            and node.attr != "_replace"
            and not (isinstance(node.value, ast.Name) and node.value.id in OWN)
        ):
            yield node.lineno


def wrong_imports(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {name.name for name in node.names}
            is_private = module in PRIVATE_MODULES or "._" in module
            is_protocol = module.split(".")[0] == "aiohttp" and names & PROTOCOLS
            if (
                is_private
                or is_protocol
                or (module == "aiohttp" and any(n[0] == "_" for n in names))
            ):
                yield node.lineno
        elif isinstance(node, ast.Import) and {name.name for name in node.names} & set(
            PRIVATE_MODULES
        ):
            yield node.lineno


def subclasses(tree: ast.Module) -> Iterator[int]:
    """Lines with a class that is one of aiohttp's protocols."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
                if name in PROTOCOLS:
                    yield node.lineno


def test_no_private_member_of_aiohttp_is_used() -> None:
    assert [
        f"{file}:{line}" for file, tree in files_with_aiohttp() for line in private_uses(tree)
    ] == []


def test_no_module_is_imported_that_aiohttp_has_for_itself() -> None:
    assert [
        f"{file}:{line}" for file, tree in files_with_aiohttp() for line in wrong_imports(tree)
    ] == []


def test_no_class_is_one_of_aiohttps_protocols() -> None:
    assert [
        f"{file}:{line}" for file, tree in files_with_aiohttp() for line in subclasses(tree)
    ] == []


def test_each_of_these_would_be_found() -> None:
    bad = (
        "from aiohttp.web_protocol import RequestHandler\n"
        "from aiohttp import web\n"
        "class Handler(RequestHandler):\n"
        "    def ask(self, request):\n"
        "        return request._message, self._own\n"
    )
    tree = ast.parse(bad)
    assert list(private_uses(tree)) == [5]
    assert list(wrong_imports(tree)) == [1]
    assert list(subclasses(tree)) == [3]
