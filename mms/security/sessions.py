"""Sessions of people who have shown a key in a page: a cookie stands for the key, for a while and there alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from mms.security.guard import Keys
from mms.security.key_file import ApiKey

#: A session ends so long after its login, in seconds.
SESSION_S = 8 * 3600
#: Of one key; one more ends the oldest.
_MOST_OF_A_KEY = 16
#: Of all keys.
_MOST = 1024
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """`token`: what the page sends besides the cookie with each request that changes something, as no other page can.
    `ends_at`: of the clock of its `Sessions`."""

    key: ApiKey
    token: str
    ends_at: float

    def has_token(self, token: str) -> bool:
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "replace"))


class Sessions:
    """The sessions of a server, in its memory alone: they end with it. Used on the event loop."""

    def __init__(self, ring: Keys, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._clock = clock
        #: By the hash of their cookies, the oldest first: how long a look-up takes tells nothing of a cookie.
        self._by_digest: OrderedDict[bytes, Session] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Sessions {len(self._by_digest)}>"

    def __len__(self) -> int:
        return len(self._by_digest)

    def open(self, key: ApiKey) -> tuple[str, Session]:
        """Return a new session, and the value of its cookie."""
        self._drop_ended()
        of_key = [digest for digest, each in self._by_digest.items() if each.key.id == key.id]
        if len(of_key) >= _MOST_OF_A_KEY:
            del self._by_digest[of_key[0]]
        elif len(self._by_digest) >= _MOST:
            self._by_digest.popitem(last=False)
        cookie = secrets.token_urlsafe(_SECRET_BYTES)
        session = Session(key, secrets.token_urlsafe(_SECRET_BYTES), self._clock() + SESSION_S)
        self._by_digest[_digest_of(cookie)] = session
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie, with the roles that its key has now, as long as both last."""
        session = self._by_digest.get(_digest_of(cookie))
        if session is None or self._clock() >= session.ends_at:
            return None
        key = self._ring.current(session.key)
        return None if key is None else replace(session, key=key)

    def close(self, cookie: str) -> None:
        self._by_digest.pop(_digest_of(cookie), None)

    def _drop_ended(self) -> None:
        for digest, session in list(self._by_digest.items()):
            if self._clock() >= session.ends_at or self._ring.current(session.key) is None:
                del self._by_digest[digest]


def _digest_of(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
