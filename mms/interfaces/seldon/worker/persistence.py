"""Keeping a Seldon component over restarts: pickled now and then and at the end, restored at the start.

The state lies in a file, or in Redis where REDIS_SERVICE_HOST names one, as with Seldon's own wrapper.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import logging
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

logger = logging.getLogger("mms.interfaces.seldon.worker.persistence")

_Component = TypeVar("_Component")

#: Between two times that a component is kept, in seconds. Seldon's own interval.
INTERVAL_S = 60.0
#: A component that changes while it is pickled is tried again so often.
_ATTEMPTS = 3
_REDIS_HOST = "REDIS_SERVICE_HOST"
_REDIS_PORT = "REDIS_SERVICE_PORT"
_REDIS_DEFAULT_PORT = 6379
_REDIS_TIMEOUT_S = 5.0


class StateError(Exception):
    """The state cannot be kept or read. The message is one line for people."""


class Store(Protocol):
    def read(self) -> bytes | None:
        """Return what was kept last, None where nothing was. Raises StateError."""

    def write(self, state: bytes) -> None:
        """Keep a state in place of the last one. Raises StateError."""


class FileStore:
    """A file of the server's own user, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __repr__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                # Unpickling runs what is in the file, so it must be nobody else's.
                owner = os.fstat(file.fileno()).st_uid
                if owner not in (os.getuid(), 0):
                    raise StateError(f"{self._path} belongs to the user {owner} and is not read")
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self._path} cannot be read: {error.strerror}") from None

    def write(self, state: bytes) -> None:
        work = self._path.with_name(f".{self._path.name}-{os.getpid()}-{threading.get_ident()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            work.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                work.unlink()
            raise StateError(f"{self._path} cannot be written: {error.strerror}") from None


class RedisStore:
    """A key in Redis. `client` has `get(key)` and `set(key, value)`."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def __repr__(self) -> str:
        return f"Redis, key {self._key}"

    def read(self) -> bytes | None:
        try:
            state = self._client.get(self._key)
        except Exception as error:  # the library's own tree, and what sockets raise
            raise StateError(f"{self!r} cannot be read: {error}") from None
        return None if state is None else bytes(state)

    def write(self, state: bytes) -> None:
        try:
            self._client.set(self._key, state)
        except Exception as error:
            raise StateError(f"{self!r} cannot be written: {error}") from None


def redis_key() -> str:
    """Return the key by which Seldon's own wrapper kept a component of this deployment."""
    parts = (
        os.environ.get("SELDON_DEPLOYMENT_ID", "0"),
        os.environ.get("PREDICTOR_ID", "0"),
        os.environ.get("PREDICTIVE_UNIT_ID", "0"),
    )
    return "persistence_" + "_".join(parts)


def open_store(path: Path) -> Store:
    """Return the place of the state. Raises StateError where Redis is asked for and its library is not there."""
    host = os.environ.get(_REDIS_HOST)
    if not host:
        return FileStore(path)
    try:
        redis = importlib.import_module("redis")
    except ImportError:
        raise StateError(
            f"{_REDIS_HOST} is set, and Redis needs the package redis: pip install 'marserve[redis]'"
        ) from None
    # Kubernetes sets the variable of a service's port for other things, too: tcp://10.0.0.1:6379.
    port = os.environ.get(_REDIS_PORT, "").rpartition(":")[2] or str(_REDIS_DEFAULT_PORT)
    client = redis.StrictRedis(
        host=host,
        port=int(port),
        socket_timeout=_REDIS_TIMEOUT_S,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
    )
    return RedisStore(client, redis_key())


class Persistence:
    """Restores one component and keeps it.

    `restore` comes first, then `keep` once the component is there, in the process that serves it: a fork has no threads
    of its parent. What cannot be kept is a line in the log and never an error of a request.
    """

    def __init__(self, store: Store, *, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        self._interval_s = interval_s
        self._component: Any = None
        #: The digest of the state that was kept last, or that the component had when it was there.
        self._kept: bytes | None = None
        self._failure = ""
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Persistence in {self._store!r}>"

    def restore(self, construct: Callable[[], _Component]) -> _Component:
        """Return the component that was kept, else what `construct` makes.

        One that cannot be unpickled, such as a class that is gone, is told in the log and made anew. Raises what
        `construct` raises.
        """
        try:
            state = self._store.read()
        except StateError as error:
            logger.error("%s; the component starts without it", error)
            return construct()
        if state is None:
            return construct()
        try:
            component: _Component = pickle.loads(state)
        except Exception as error:  # code of the component runs here
            logger.error(
                "The component kept in %r cannot be restored; a new one starts: %s: %s",
                self._store,
                type(error).__name__,
                error,
            )
            return construct()
        logger.info("Restored the component from %r", self._store)
        return component

    def keep(self, component: Any) -> None:
        """Keep it from now on, every interval and when the process ends, unless `close` comes before.

        Only what has changed since now is written: another worker may have learned and kept its state meanwhile.
        """
        self._component = component
        try:
            self._kept = _digest(self._pickled())
        except Exception as error:  # code of the component runs here
            self._tell(f"{type(error).__name__}: {error}")
        atexit.register(self.close)
        self._thread = threading.Thread(target=self._run, name="persistence", daemon=True)
        self._thread.start()

    def keep_now(self) -> bool:
        """Pickle and write it where it has changed. Returns whether what is kept is up to date."""
        with self._lock:
            try:
                state = self._pickled()
                digest = _digest(state)
                if digest != self._kept:
                    self._store.write(state)
                    self._kept = digest
            except Exception as error:  # code of the component runs here
                self._tell(f"{type(error).__name__}: {error}")
                return False
            self._failure = ""
            return True

    def close(self) -> None:
        """Keep it a last time where it has changed, and stop."""
        atexit.unregister(self.close)
        self._end.set()
        if self._thread is not None:
            self._thread.join(self._interval_s)
            self._thread = None
            self.keep_now()

    def _run(self) -> None:
        while not self._end.wait(self._interval_s):
            self.keep_now()

    def _pickled(self) -> bytes:
        for _ in range(_ATTEMPTS - 1):
            try:
                return pickle.dumps(self._component, protocol=4)
            except RuntimeError:
                # A dict or set of it changed meanwhile.
                continue
        return pickle.dumps(self._component, protocol=4)

    def _tell(self, failure: str) -> None:
        if failure != self._failure:
            logger.error("The component is not kept in %r: %s", self._store, failure)
        self._failure = failure


def _digest(state: bytes) -> bytes:
    return hashlib.sha256(state).digest()


def open_persistence(path: str | None) -> Persistence | None:
    """Return what keeps the state. `path`: the file; None where nothing is to be kept. Raises StateError."""
    return None if path is None else Persistence(open_store(Path(path)))
