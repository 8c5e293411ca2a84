"""The page `/docs`: the API of a listener, to read and to try, by Swagger UI, whose files are in this package."""

from __future__ import annotations

import asyncio
import importlib
from typing import Final

from aiohttp import web

from mms.http.routing import OPEN, Route
from mms.http.routing.operation import TEXT, Operation, answer

_PATH: Final = "/docs"
_PAGE: Final = Operation(
    "get",
    "docs",
    "A page that shows this API.",
    {"200": answer("The page.", TEXT, "text/html")},
    tag="docs",
)


def docs_routes() -> list[Route]:
    """Return the rows. The files tell nothing of the server; the description that the page asks for may need a key."""
    return [
        Route(("GET", "HEAD"), _PATH, _answer, OPEN, operations=(_PAGE,)),
        Route(("GET", "HEAD"), f"{_PATH}/{{tail:.*}}", _answer, OPEN),
    ]


async def _answer(request: web.Request) -> web.StreamResponse:
    files = await asyncio.to_thread(importlib.import_module, "mms.http.console.page_files")
    return await files.answer_file("docs", request.match_info.get("tail", ""))  # type: ignore[no-any-return]
