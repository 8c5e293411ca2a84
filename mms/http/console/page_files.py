"""The files of the pages, as they lie in the package: read once they are asked for, and kept."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from mms.errors import ResourceNotFound
from mms.http.web.response import respond

_FOLDER: Final = Path(__file__).parent / "static"
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
#: Nothing from elsewhere, no script but the page's own files, and texts that never become HTML.
_CONSOLE_RULES: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
#: Swagger UI writes styles into its page, and has pictures in its files.
_DOCS_RULES: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_RULES: Final = {"console": _CONSOLE_RULES, "docs": _DOCS_RULES}


class _File(NamedTuple):
    body: bytes
    content_type: str


@cache
def _files_of(page: str) -> dict[str, Path]:
    """Return the files of a page, by their paths: nothing else is read, whatever a client asks for."""
    folder = _FOLDER / page
    return {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in _TYPES
    }


@cache
def _read(path: Path) -> _File:
    return _File(path.read_bytes(), _TYPES[path.suffix])


def _find(page: str, name: str) -> _File | None:
    path = _files_of(page).get(name or _INDEX)
    return None if path is None else _read(path)


async def answer_file(page: str, name: str) -> web.StreamResponse:
    """Answer with a file of a page, the page itself for no name. Raises ResourceNotFound."""
    file = await asyncio.to_thread(_find, page, name)
    if file is None:
        raise ResourceNotFound
    lines = (
        f"Content-Type: {file.content_type}\r\n"
        f"Content-Security-Policy: {_RULES[page]}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "X-Frame-Options: DENY\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "Cross-Origin-Opener-Policy: same-origin\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\n"
    ).encode()
    return respond(200, None, lines, file.body)
