"""The keys that count now."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable

from mms.security.file_watch import FileWatch
from mms.security.key_file import ApiKey, InvalidKeyFile, KeyFile, digest_of, id_of

logger = logging.getLogger("mms.security")

#: What an unknown key is compared with, so that it takes as long as a wrong one.
_NO_DIGEST = "0" * 64


class KeyRing:
    """The keys of a file, read again when it changes.

    A file that has gone stands for no keys: removing it revokes all. One that cannot be read or understood changes
    nothing, so that a slip of an editor locks nobody out; the log says so.
    """

    def __init__(self, file: KeyFile, clock: Callable[[], float] = time.time) -> None:
        """Read the file. Raises FileNotFoundError and InvalidKeyFile."""
        self._file = file
        self._clock = clock
        self._watch = FileWatch((file.path,))
        self._keys: dict[bytes, ApiKey] = {}
        self._expires_at: float | None = None
        self._take(file.read())

    def __repr__(self) -> str:
        return f"<KeyRing {len(self._keys)} keys of {self._file.path}>"

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, text: bytes) -> ApiKey | None:
        """Return the key with this text, if it is valid now."""
        key_id = id_of(text)
        if key_id is None:
            return None
        key = self._keys.get(key_id)
        is_same = hmac.compare_digest(digest_of(text), _NO_DIGEST if key is None else key.digest)
        return key if is_same and key is not None and key.is_valid(self._clock()) else None

    def current(self, key: ApiKey) -> ApiKey | None:
        """Return a key that was found as it is now, with its roles; None where it counts no more."""
        known = self._keys.get(key.id.encode())
        is_same = known is not None and known.digest == key.digest
        return known if is_same and known is not None and known.is_valid(self._clock()) else None

    def refresh(self) -> bool:
        """Read the file if it has changed. Whether other keys count than at the call before."""
        if not self._watch.has_changed():
            return self._expire()
        try:
            keys = self._file.read()
        except FileNotFoundError:
            logger.error("%s is gone: no key is valid any more.", self._file.path)
            keys = []
        except InvalidKeyFile as error:
            logger.error("%s. The keys that were read before stay in use.", error)
            return self._expire()
        before = self._keys
        self._take(keys)
        if self._keys == before:
            return False
        logger.info("%s has changed: %d keys are valid.", self._file.path, len(self._keys))
        return True

    def _take(self, keys: list[ApiKey]) -> None:
        now = self._clock()
        self._keys = {key.id.encode(): key for key in keys if key.is_valid(now)}
        ends = [key.expires_at for key in self._keys.values() if key.expires_at is not None]
        self._expires_at = min(ends, default=None)

    def _expire(self) -> bool:
        if self._expires_at is None or self._clock() < self._expires_at:
            return False
        known = len(self._keys)
        self._take(list(self._keys.values()))
        logger.info("%d keys have expired.", known - len(self._keys))
        return True
