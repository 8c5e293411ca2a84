"""Decides who may do what: whose key a request has, and whether it has the role that is needed."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from mms.errors import ConfigurationError, Forbidden, ServerError, TooManyRequests, Unauthorized
from mms.interfaces import find_interface, part
from mms.security.key_file import ApiKey, InvalidKeyFile, KeyFile
from mms.security.key_ring import KeyRing
from mms.security.rate_limit import RateLimit, client_of
from mms.security.roles import Role

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.security")

Pair = tuple[bytes, bytes]

_BEARER = b"bearer "
#: Headers of one request that are tried for keys; more are a search.
_MAX_TRIED = 4
#: Refusals of one client: so many at once, then one in so many seconds. More are answered 429, and not logged.
_FAILURE_BURST = 20
_SECONDS_PER_FAILURE = 3.0
#: Between two lines about refusals that were not logged, in seconds.
_TELL_S = 10.0


class AuthResult(NamedTuple):
    """What the headers of a request say about who sends it.

    `credentials`: the header lines that hold a valid key of this server, which is nobody's business behind the front.
    """

    key: ApiKey | None
    has_tried: bool
    credentials: frozenset[Pair]


NOBODY = AuthResult(None, False, frozenset())


class Keys(Protocol):
    """The keys that count."""

    def find(self, text: bytes) -> ApiKey | None:
        """Return the key with this text, if it is valid now."""

    def refresh(self) -> bool:
        """Return whether other keys count than at the call before."""

    def current(self, key: ApiKey) -> ApiKey | None:
        """Return a key that was found as it is now, with its roles; None where it counts no more."""


class JoinedKeys:
    """The keys of several."""

    def __init__(self, *rings: Keys) -> None:
        self.rings = rings

    def __repr__(self) -> str:
        return f"<JoinedKeys {', '.join(map(repr, self.rings))}>"

    def find(self, text: bytes) -> ApiKey | None:
        return next((key for ring in self.rings if (key := ring.find(text)) is not None), None)

    def refresh(self) -> bool:
        # All of them, also where the first one has changed.
        changes = [ring.refresh() for ring in self.rings]
        return any(changes)

    def current(self, key: ApiKey) -> ApiKey | None:
        found = (ring.current(key) for ring in self.rings)
        return next((known for known in found if known is not None), None)


class Guard:
    """Checks the keys of requests, where requests need some. It is owned by the event loop."""

    def __init__(
        self,
        ring: Keys,
        open_roles: Iterable[Role] = (),
        clock: Callable[[], float] = time.monotonic,
        *,
        refusal: Callable[[], ServerError] | None = None,
    ) -> None:
        """`open_roles`: what needs no key. `refusal`: the error where one is wanting, in another server's words."""
        self.ring = ring
        self._refusal = refusal
        #: Called when other keys count: what was decided before does not hold any more.
        self.on_change: list[Callable[[], None]] = []
        self._open = frozenset(open_roles)
        self._clock = clock
        self._failures = RateLimit(1 / _SECONDS_PER_FAILURE, _FAILURE_BURST)
        self._untold = 0
        self._told_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Guard {self.ring!r}>"

    def find(self, headers: Iterable[Pair]) -> AuthResult:
        """Return who sends a request. A header that holds no key of this server may be meant for a model."""
        found: ApiKey | None = None
        tried: list[Pair] = []
        valid: list[Pair] = []
        for pair in headers:
            text = _presented(pair)
            if text is None or len(tried) >= _MAX_TRIED:
                continue
            tried.append(pair)
            key = self.ring.find(text)
            if key is not None:
                found = found or key
                valid.append(pair)
        return AuthResult(found, True, frozenset(valid)) if tried else NOBODY

    def is_open(self, roles: Iterable[Role]) -> bool:
        return any(role in self._open for role in roles)

    def may(self, auth: AuthResult, roles: Iterable[Role]) -> bool:
        """Return whether one of `roles` is open, or is a role of the key."""
        key = auth.key
        return any(role in self._open or (key is not None and role in key.roles) for role in roles)

    def demand(self, auth: AuthResult, roles: tuple[Role, ...], remote: str, what: str) -> None:
        """Raise Unauthorized, Forbidden, and TooManyRequests for those who try it again and again.

        `remote`: the client as logs name it. `what`: the request, for the log; without headers.
        """
        if not self.may(auth, roles):
            self.refuse(auth, roles, remote, what)

    def refuse(self, auth: AuthResult, roles: tuple[Role, ...], remote: str, what: str) -> NoReturn:
        """Count a refusal, and raise what `demand` raises."""
        wait_s = self._failures.take(client_of(remote), self._clock())
        if wait_s:
            self._untold += 1
        wanted = " or ".join(role.value for role in roles)
        key = auth.key
        if key is not None:
            if not wait_s:
                logger.warning(
                    "Refused %s of %s: key %s does not have the role %s.", what, remote, key, wanted
                )
            if self._refusal is not None:
                raise self._refusal()
            raise Forbidden(f"The key does not have the role {wanted}, which this request needs.")
        if wait_s:
            raise TooManyRequests("Too many requests without a valid key.", math.ceil(wait_s))
        if auth.has_tried:
            logger.warning("Refused %s of %s: its key is not valid.", what, remote)
        else:
            logger.warning("Refused %s of %s: it has no key.", what, remote)
        if self._refusal is not None:
            raise self._refusal()
        if auth.has_tried:
            raise Unauthorized("The key is not valid.")
        raise Unauthorized(
            f"This request needs a key with the role {wanted}: send it as Authorization: Bearer KEY, or x-api-key: KEY."
        )

    def check(self) -> None:
        """Called every second: take over changed keys, and say what was not logged."""
        if self.ring.refresh():
            for call in self.on_change:
                call()
        now = self._clock()
        if self._untold and now - self._told_at > _TELL_S:
            logger.warning("%d more requests were refused for their keys.", self._untold)
            self._untold = 0
            self._told_at = now


def presented_key(headers: Iterable[Pair]) -> bytes | None:
    """Return the first key that headers offer, valid or not."""
    return next((text for pair in headers if (text := _presented(pair)) is not None), None)


def _presented(pair: Pair) -> bytes | None:
    """Return the key that a header offers, if it is one for keys."""
    name, value = pair
    size = len(name)
    if size == 9 and name.lower() == b"x-api-key":
        return value.strip()
    if size == 13 and name.lower() == b"authorization":
        value = value.strip()
        if value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip()
    return None


def make_guard(settings: Settings) -> Guard | None:
    """Return the guard that the settings ask for; None where no request needs a key. Raises ConfigurationError."""
    rings: list[Keys] = []
    open_roles = [Role(name) for name in settings.open_roles]
    refusal = None
    if settings.keys_file:
        rings.append(_file_ring(settings.keys_file))
    if settings.stands_for is not None:
        interface = find_interface(settings.stands_for)
        ring = part(interface.key_ring)(settings) if interface.key_ring else None
        if ring is not None:
            rings.append(ring)
            refusal = part(interface.key_refusal)
            # Tokens are for the two others.
            open_roles.append(Role.METRICS)
    if not rings:
        return None
    ring = rings[0] if len(rings) == 1 else JoinedKeys(*rings)
    return Guard(ring, open_roles, refusal=refusal)


def _file_ring(path: str) -> KeyRing:
    try:
        ring = KeyRing(KeyFile(Path(path)))
    except FileNotFoundError:
        raise ConfigurationError(
            f"Invalid configuration: keys_file={path} is not there; "
            f"`mms keys create --file {path} --role inference NAME` makes it"
        ) from None
    except InvalidKeyFile as error:
        raise ConfigurationError(f"Invalid configuration: keys_file: {error}") from None
    if not len(ring):
        logger.warning(
            "keys_file=%s has no valid key: all requests that need one are refused.", path
        )
    return ring
