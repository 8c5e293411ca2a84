"""Calls on an event loop, by aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from mms.client.answer import Answer, Call
from mms.client.errors import CertificateNotTrusted, DeadlineExceeded, ServerUnreachable
from mms.client.place import Place
from mms.text.address import Address


class AsyncConnections:
    """Those of one client. Used from one event loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._sessions: dict[Address, aiohttp.ClientSession] = {}

    def __repr__(self) -> str:
        return f"<AsyncConnections to {', '.join(map(str, self._sessions)) or 'nobody'}>"

    async def send(self, call: Call) -> Answer:
        """Return the answer, whatever its status. Raises ServerUnreachable, DeadlineExceeded."""
        address = self._place.address(call)
        session = self._session(address)
        try:
            response = await asyncio.wait_for(
                session.request(
                    call.method,
                    URL(_url(address) + call.path, encoded=True),
                    data=call.body,
                    headers=self._place.headers(call),
                    allow_redirects=False,
                ),
                call.timeout_s,
            )
        except (OSError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise _told(error, address, call.timeout_s) from None
        fields = {name.lower(): value for name, value in response.headers.items()}
        if call.is_streamed and response.status < 400:
            pieces = _pieces(response, address, call.timeout_s)
            return Answer(response.status, fields, pieces=pieces)
        try:
            body = await asyncio.wait_for(response.read(), call.timeout_s)
        except (OSError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise _told(error, address, call.timeout_s) from None
        finally:
            response.release()
        return Answer(response.status, fields, body)

    def _session(self, address: Address) -> aiohttp.ClientSession:
        session = self._sessions.get(address)
        if session is None:
            connector: aiohttp.BaseConnector
            if address.scheme == "unix":
                connector = aiohttp.UnixConnector(address.path, limit=0)
            else:
                connector = aiohttp.TCPConnector(limit=0, ssl=self._place.tls or True)
            session = self._sessions[address] = aiohttp.ClientSession(
                connector=connector,
                # The calls have their own limits.
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
                # What is asked for is what is sent.
                skip_auto_headers=("User-Agent", "Content-Type", "Accept-Encoding"),
            )
        return session

    async def close(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()


async def _pieces(
    response: aiohttp.ClientResponse, address: Address, timeout_s: float
) -> AsyncIterator[bytes]:
    """Each piece of a body as it comes. The connection is closed where not all of it is read."""
    try:
        while piece := await asyncio.wait_for(response.content.readany(), timeout_s):
            yield piece
    except (OSError, aiohttp.ClientError, asyncio.TimeoutError) as error:
        raise _told(error, address, timeout_s) from None
    finally:
        if response.content.at_eof():
            response.release()
        else:
            response.close()


def _url(address: Address) -> str:
    return "http://localhost" if address.scheme == "unix" else str(address)


def _told(
    error: Exception, address: Address, timeout_s: float
) -> ServerUnreachable | DeadlineExceeded:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        return CertificateNotTrusted(address, getattr(inner, "verify_message", str(inner)))
    if isinstance(error, asyncio.TimeoutError):
        return DeadlineExceeded(f"{address} has not answered within {round(timeout_s, 2):g} s.")
    is_unsent = isinstance(error, aiohttp.ClientConnectorError)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ServerUnreachable(address, reason, is_unsent=is_unsent)
