"""An HTTP server whose answers a test sets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.test_utils import TestServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Origin:
    """An HTTP server on a free port, whose paths a test sets."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.requests: list[web.Request] = []
        self._server = TestServer(web.Application())
        self._server.app.router.add_route("*", "/{path:.*}", self._answer)

    async def start(self) -> None:
        await self._server.start_server()

    async def close(self) -> None:
        await self._server.close()

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def serve(self, path: str, body: bytes, **kwargs: object) -> str:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(body=body, **kwargs)  # type: ignore[arg-type]

        self.handlers[path] = answer
        return self.url(path)

    def redirect(self, path: str, location: str, status: int = 302) -> str:
        return self.serve(path, b"", status=status, headers={"Location": location})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self.handlers.get(request.match_info["path"])
        if handler is None:
            return web.Response(status=404)
        return await handler(request)
