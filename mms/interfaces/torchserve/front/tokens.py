"""TorchServe's tokens: one for inference, one for management, and one that has the two others made anew."""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mms.errors import PERMISSION_DENIED, BadRequest, ConfigurationError, ServerError
from mms.interfaces.torchserve.settings import TorchServeSettings
from mms.security import Role
from mms.security.key_file import ApiKey, digest_of

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.security")

_FILE: Final = "key_file.json"
_API: Final = "API"
_ROLES: Final = {"management": Role.MANAGEMENT, "inference": Role.INFERENCE}
#: TorchServe has 6, which can be guessed in the life of a server.
_TOKEN_BYTES: Final = 32


class InvalidToken(ServerError):
    """The token of a request is missing, wrong or too old."""

    status = 400
    type_name = "InvalidKeyException"
    grpc_code = PERMISSION_DENIED

    def __init__(self) -> None:
        super().__init__(
            "Token Authorization failed. Token either incorrect, expired, or not provided correctly"
        )


class TokenRing:
    """The tokens of a running server, and the file that tells them to who may read it."""

    def __init__(
        self, path: Path, lifetime_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Make all tokens, and write the file. Raises ConfigurationError where it cannot be written."""
        self._path = path
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._api = secrets.token_urlsafe(_TOKEN_BYTES)
        self._tokens: dict[str, str] = {}
        self._keys: dict[str, ApiKey] = {}
        self._has_changed = False
        #: Two clients may ask for new tokens at once.
        self._writing = threading.Lock()
        for kind in _ROLES:
            self._renew(kind)
        self._valid = len(self)
        try:
            self._write()
        except OSError as error:
            raise ConfigurationError(
                f"Invalid configuration: the file of tokens {path} cannot be written: {error.strerror}; "
                "--disable-token-auth does without tokens"
            ) from None
        logger.info(
            "Requests need a token; %s has them. --disable-token-auth does without tokens.", path
        )

    def __repr__(self) -> str:
        return f"<TokenRing {self._path}>"

    def __len__(self) -> int:
        now = self._clock()
        return sum(key.is_valid(now) for key in self._keys.values())

    def find(self, text: bytes) -> ApiKey | None:
        """Return the token with this text as a key, if it is valid now."""
        digest = digest_of(text)
        found = None
        for key in self._keys.values():
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found if found is not None and found.is_valid(self._clock()) else None

    def refresh(self) -> bool:
        """Return whether other tokens count than at the call before."""
        former, self._valid = self._valid, len(self)
        has_changed, self._has_changed = self._has_changed, False
        return has_changed or former != self._valid

    def current(self, key: ApiKey) -> ApiKey | None:
        """Return a token that was found; None where it counts no more."""
        return key if self._keys.get(key.id) == key and key.is_valid(self._clock()) else None

    def rotate(self, kind: str, presented: bytes | None) -> None:
        """Make a new token of a kind, whose former one counts no more. Blocks.

        Raises InvalidToken unless `presented` is the token for that, BadRequest for another kind, and OSError where the
        file cannot be written: then the former token stays.
        """
        if presented is None or not hmac.compare_digest(presented, self._api.encode()):
            raise InvalidToken
        if kind not in _ROLES:
            raise BadRequest("Parameter type must be management or inference.")
        with self._writing:
            former = self._tokens[kind], self._keys[kind]
            self._renew(kind)
            try:
                self._write()
            except BaseException:
                # Nobody could learn the new one.
                self._tokens[kind], self._keys[kind] = former
                raise
            self._has_changed = True

    def _renew(self, kind: str) -> None:
        now = self._clock()
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._tokens[kind] = token
        self._keys[kind] = ApiKey(
            kind,
            f"TorchServe's {kind} token",
            frozenset((_ROLES[kind],)),
            digest_of(token.encode()),
            now,
            now + self._lifetime_s,
        )

    def _write(self) -> None:
        """Put the file in place as a whole; nobody else can read it at any moment."""
        document: dict[str, dict[str, str]] = {
            kind: {"key": self._tokens[kind], "expiration time": _time(key.expires_at or 0)}
            for kind, key in self._keys.items()
        }
        document[_API] = {"key": self._api}
        beside = self._path.with_name(f".{self._path.name}-{os.getpid()}")
        try:
            beside.unlink(missing_ok=True)
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w") as file:
                json.dump(document, file, indent=2)
            beside.replace(self._path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def token_ring(settings: Settings) -> TokenRing | None:
    """Return the tokens of a server that stands for TorchServe; None where it does without.

    Raises ConfigurationError.
    """
    own = settings.of(TorchServeSettings)
    if settings.stands_for != "torchserve" or own.disable_token_authorization:
        return None
    return TokenRing(Path(own.token_file or _FILE).absolute(), own.token_expiration_min * 60)
