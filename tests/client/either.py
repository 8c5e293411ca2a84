"""Both clients by one set of calls, so that each test is one of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mms.client import AsyncClient, Client


class Either:
    """Calls of a new client; `is_async` says of which kind. Streams come back as lists."""

    def __init__(self, address: str, *, is_async: bool, **options: Any) -> None:
        self._address = address
        self._is_async = is_async
        self._options = {"management": address, "key": "", **options}

    def __repr__(self) -> str:
        return f"<Either of {self._address}>"

    def __call__(self, *calls: Callable[[Any], Any]) -> list[Any]:
        """Return what each call gives, one after the other, of the same client."""
        if self._is_async:
            return asyncio.run(self._run(calls))
        with Client(self._address, **self._options) as client:
            found = []
            for call in calls:
                result = call(client)
                found.append(list(result) if hasattr(result, "__next__") else result)
            return found

    async def _run(self, calls: tuple[Callable[[Any], Any], ...]) -> list[Any]:
        async with AsyncClient(self._address, **self._options) as client:
            found = []
            for call in calls:
                result = call(client)
                if hasattr(result, "__anext__"):
                    found.append([piece async for piece in result])
                else:
                    found.append(await result)
            return found
