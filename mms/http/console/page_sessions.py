"""Whose session a request of the console's page has."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from mms.errors import Forbidden
from mms.security import NOBODY, SESSION_S, AuthResult, Session, Sessions

#: What the page sends the token of its session in.
TOKEN_HEADER: Final = "X-CSRF-Token"
#: The part of the server that browsers send the cookie to.
PATH: Final = "/console"
_HARMLESS: Final = ("GET", "HEAD", "OPTIONS")
#: By these words browsers say that a request comes from a page of this very listener, or from a typed address.
_OWN_PAGES: Final = ("same-origin", "none")


class PageSessions:
    """Finds sessions by cookies, and writes the cookies."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def __repr__(self) -> str:
        return f"<PageSessions {self.sessions!r}>"

    def session_of(self, request: web.Request) -> Session | None:
        """Return the session of a request. Pages of other sites, and of other ports of this host, have none.

        A browser sends a cookie to every port of a host, and says of the request which page it comes from.
        """
        cookie = request.cookies.get(cookie_name(request))
        if cookie is None or request.headers.get("Sec-Fetch-Site", "none") not in _OWN_PAGES:
            return None
        return self.sessions.find(cookie)

    def find(self, request: web.Request) -> AuthResult:
        """Return who sends a request. Raises Forbidden for a change without the token of its session."""
        session = self.session_of(request)
        if session is None:
            return NOBODY
        if request.method not in _HARMLESS and not session.has_token(
            request.headers.get(TOKEN_HEADER, "")
        ):
            raise Forbidden(
                f"The request has no {TOKEN_HEADER} of its session; load the console again."
            )
        hidden = (b"cookie", TOKEN_HEADER.lower().encode())
        pairs = frozenset(pair for pair in request.raw_headers if pair[0].lower() in hidden)
        return AuthResult(session.key, True, pairs)

    def close_of(self, request: web.Request) -> None:
        """End the session of a request, if it has one."""
        if self.session_of(request) is not None:
            self.sessions.close(request.cookies[cookie_name(request)])


def cookie_name(request: web.Request) -> str:
    """Return a name of this listener alone: servers on other ports of the host have cookies of theirs."""
    transport = request.transport
    address = transport.get_extra_info("sockname") if transport is not None else None
    port = address[1] if isinstance(address, tuple) else 0
    return f"mms-console-{port}"


def cookie_line(request: web.Request, value: str) -> bytes:
    """Return a finished header line that sets the cookie, or with an empty value removes it."""
    age_s = SESSION_S if value else 0
    secure = "; Secure" if request.secure else ""
    text = f"{cookie_name(request)}={value}; Path={PATH}; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}"
    return f"Set-Cookie: {text}\r\n".encode()
