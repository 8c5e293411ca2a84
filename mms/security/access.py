"""The door of every edge: keys and their roles, and the rate of each client."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mms.errors import TooManyRequests
from mms.security.guard import NOBODY, AuthResult, Guard, Pair, make_guard
from mms.security.key_file import ApiKey
from mms.security.rate_limit import RateLimit, client_of
from mms.security.roles import Role

if TYPE_CHECKING:
    from mms.settings import Settings

#: What a prediction needs, on every API.
INFERENCE = (Role.INFERENCE,)


class Access:
    """Who may send what and how often. It is owned by the event loop. `guard` None: no keys; `limit` None: no limit."""

    def __init__(self, guard: Guard | None, limit: RateLimit | None) -> None:
        self.guard = guard
        self.limit = limit

    def __repr__(self) -> str:
        return f"<Access {self.guard!r}, {self.limit!r}>"

    def enter(
        self,
        headers: Iterable[Pair],
        roles: tuple[Role, ...],
        remote: str,
        what: str,
        session: AuthResult = NOBODY,
    ) -> AuthResult:
        """Check and count a request, and return who sends it. `roles`: one of them is needed; none: anybody may.

        `remote`: the client as logs name it; `what`: the request; `session`: who it is by a cookie, where that counts.
        Raises Unauthorized, Forbidden, TooManyRequests.
        """
        auth = NOBODY
        if self.guard is not None:
            auth = self.guard.find(headers)
            if auth.key is None and session.key is not None:
                auth = session
            if roles:
                self.guard.demand(auth, roles, remote, what)
        if self.limit is not None and roles == INFERENCE:
            self.take(client_name(auth.key) or client_of(remote))
        return auth

    def take(self, client: str) -> None:
        """Count a request of a client. Raises TooManyRequests."""
        if self.limit is None:
            return
        wait_s = self.limit.take(client, time.monotonic())
        if wait_s:
            raise TooManyRequests(
                "The client has sent more requests than rate_limit allows.", math.ceil(wait_s)
            )

    def admit(self, headers: list[bytes]) -> str | None:
        """Check a prediction that is counted elsewhere: return the name of its key, "" for none, None for a refusal.

        `headers`: name, value, name, ...; the lines with a valid key are taken out.
        """
        if self.guard is None:
            return ""
        auth = self.guard.find(zip(headers[::2], headers[1::2], strict=True))
        if not self.guard.may(auth, INFERENCE):
            return None
        if auth.credentials:
            headers[:] = without_credentials(headers, auth)
        return client_name(auth.key)


def client_name(key: ApiKey | None) -> str:
    """Return the name under which a key's requests are counted; no address looks like it."""
    return f"key {key.id}" if key is not None else ""


def without_credentials(headers: list[bytes], auth: AuthResult) -> list[bytes]:
    """Return name, value, name, ... without the lines that hold a valid key: no model is to know it."""
    return [
        part
        for pair in zip(headers[::2], headers[1::2], strict=True)
        if pair not in auth.credentials
        for part in pair
    ]


def make_access(settings: Settings) -> Access | None:
    """Return the access that the settings give; None where everybody may do everything. Raises ConfigurationError."""
    guard = make_guard(settings)
    limit = None
    if settings.rate_limit:
        limit = RateLimit(settings.rate_limit, settings.rate_limit_burst)
    return Access(guard, limit) if guard is not None or limit is not None else None
