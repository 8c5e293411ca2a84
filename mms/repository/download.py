"""Downloading an archive over http(s) to a file.

A download has a thread and an event loop of its own, so that neither its bytes nor its disk writes pass through the
loop that serves predictions.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from mms.errors import (
    BadRequest,
    DownloadFailed,
    InternalServerError,
    InvalidModel,
    ModelNotFound,
)
from mms.limits.networks import AddressRefused, Networks, is_public
from mms.repository.sources import Sources

if TYPE_CHECKING:
    import aiohttp
    import yarl

    from mms.repository.pinned_resolver import PinnedResolver
from mms.text.urls import without_secrets

logger = logging.getLogger("mms.repository")

_CHUNK_BYTES: Final = 1024 * 1024
_OK: Final = 200
_NOT_MODIFIED: Final = 304
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# As many as Java's HTTP client follows, and with it MMS.
_MAX_REDIRECTS: Final = 20


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """How long a download may take and how large it may be. MMS had no limit at all here."""

    connect_timeout_s: float = 15.0
    # The longest pause between two pieces of the answer.
    read_timeout_s: float = 60.0
    # Redirects included; 0: no limit.
    total_timeout_s: float = 3600.0
    max_bytes: int = 64 * 1024 * 1024 * 1024
    progress_interval_s: float = 10.0


@dataclass(slots=True)
class Validators:
    """A file's version by its origin's headers. A download replaces them by those of its answer."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        sent = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in sent.items() if value}


class NotModified(Exception):
    """The origin still has the version of the validators."""


class Cancelled(Exception):
    """A job was ended because nobody needs its result any more."""


class FetchProgress:
    """How far a fetch is, in words and bytes. Its thread writes it, the event loop reads it."""

    __slots__ = ("done_bytes", "total_bytes")

    def __init__(self) -> None:
        self.done_bytes = 0
        #: None: the other side has not said.
        self.total_bytes: int | None = None

    def __repr__(self) -> str:
        return f"<FetchProgress {self}>"

    def __str__(self) -> str:
        total = "" if self.total_bytes is None else f" of {self.total_bytes / 1e6:.1f}"
        return f"{self.done_bytes / 1e6:.1f}{total} MB are fetched"


class Cancellation:
    """How the event loop stops a job that runs in a thread, and sees how far it is. Safe to call from any thread."""

    def __init__(self) -> None:
        self.progress = FetchProgress()
        self._lock = threading.Lock()
        self._is_set = False
        self._is_finished = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[str] | None = None

    def cancel(self) -> bool:
        """Return whether the job gets to know of it: it does unless it has finished."""
        with self._lock:
            self._is_set = True
            loop, task = self._loop, self._task
            if loop is not None and task is not None:
                loop.call_soon_threadsafe(task.cancel)
            return not self._is_finished

    def finish(self) -> bool:
        """Called by the job once it is done. Return whether somebody still wants what it has made."""
        with self._lock:
            self._is_finished = not self._is_set
            return self._is_finished

    def raise_if_set(self) -> None:
        """Raise Cancelled once the job is cancelled."""
        if self._is_set:
            raise Cancelled

    def watch(self, task: asyncio.Task[str]) -> None:
        """Names the task that a cancellation ends. To be called in the task's own thread, as is `unwatch`."""
        with self._lock:
            self._task, self._loop = task, task.get_loop()
            if self._is_set:
                task.cancel()

    def unwatch(self) -> None:
        """The task's loop is about to close, it must not be called any more."""
        with self._lock:
            self._task = self._loop = None


def download(
    url: str,
    target: Path,
    sources: Sources,
    limits: DownloadLimits,
    cancellation: Cancellation,
    validators: Validators | None = None,
) -> str:
    """Writes what `url` answers to the new file `target`; returns its SHA-256 in hexadecimal.

    Blocks; to be called in a thread. Raises DownloadFailed, ModelNotFound, BadRequest (a url or an address that is not
    allowed, redirects included), InternalServerError (the disk), Cancelled, and with `validators` NotModified. What was
    written so far stays, for the caller to remove: a download starts anew each time, since half a file of another day
    is nothing to build on.
    """
    try:
        return asyncio.run(_download(url, target, sources, limits, cancellation, validators))
    except asyncio.CancelledError:
        raise Cancelled from None


async def _download(
    url: str,
    target: Path,
    sources: Sources,
    limits: DownloadLimits,
    cancellation: Cancellation,
    validators: Validators | None,
) -> str:
    # Imported here because a server whose models are all in the store never needs it.
    import aiohttp

    from mms.repository.pinned_resolver import PinnedResolver

    task: asyncio.Task[str] | None = asyncio.current_task()
    if task is not None:
        cancellation.watch(task)
    timeout = aiohttp.ClientTimeout(
        total=None,  # a limit for each of the redirects would be many times the limit
        sock_connect=limits.connect_timeout_s,
        sock_read=limits.read_timeout_s,
    )
    try:
        # Bytes are wanted as they are stored, so no encoding is offered and none is undone.
        resolver = PinnedResolver()
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
        ) as session:
            following = _follow(
                *(session, resolver, url, target, sources, limits, validators),
                cancellation.progress,
            )
            return await asyncio.wait_for(following, limits.total_timeout_s or None)
    except aiohttp.ConnectionTimeoutError as error:
        raise _failed(url, error) from error
    except asyncio.TimeoutError as error:
        raise DownloadFailed(f"Download model timeout: {url}") from error
    except (
        aiohttp.ClientError,
        OSError,
        ValueError,
    ) as error:  # ValueError: no such host name can be
        raise _failed(url, error) from error
    finally:
        cancellation.unwatch()


async def _follow(
    session: aiohttp.ClientSession,
    resolver: PinnedResolver,
    url: str,
    target: Path,
    sources: Sources,
    limits: DownloadLimits,
    validators: Validators | None,
    progress: FetchProgress,
) -> str:
    place = named = _parsed(url)
    sent = validators.headers() if validators is not None else {}
    was_public = False
    for _ in range(_MAX_REDIRECTS + 1):
        sources.urls.check(str(place))
        is_named = (place.raw_host, place.port) == (named.raw_host, named.port)
        networks = sources.networks_for(is_named, was_public)
        was_public = await _pin(resolver, place, networks, url)
        async with session.get(place, allow_redirects=False, headers=sent) as response:
            if response.status == _NOT_MODIFIED and sent:
                raise NotModified
            if response.status == _OK:
                if validators is not None:
                    validators.etag = response.headers.get("ETag")
                    validators.last_modified = response.headers.get("Last-Modified")
                return await _save(response, url, target, limits, progress)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                raise DownloadFailed(
                    f"Failed to download model from: {url}, code: {response.status}"
                )
            try:
                following = place.join(_parsed(location))
            except ValueError as error:
                raise _failed(url, error) from error
            if following.scheme != place.scheme:
                # As in MMS: a redirect from https to http, or back, is an answer and not followed.
                raise DownloadFailed(
                    f"Failed to download model from: {url}, code: {response.status}"
                )
            place = following
    raise DownloadFailed(
        f"Failed to download model from: {url}, more than {_MAX_REDIRECTS} redirects"
    )


async def _pin(resolver: PinnedResolver, place: yarl.URL, networks: Networks, url: str) -> bool:
    """Look up the host of a url, for this download once and for all. Whether all its addresses are public.

    Raises BadRequest for addresses that are not allowed, OSError for a host without any.
    """
    host, port = place.raw_host, place.port
    if host is None or port is None:
        raise ValueError("the url has no host")
    try:
        infos = await resolver.pin(host, port, networks)
    except AddressRefused as error:
        logger.warning("Refused to download a model from %s: %s", without_secrets(url), error)
        raise BadRequest(
            f"Given URL {url} leads to an address that is not allowed: {error}."
        ) from None
    return all(is_public(str(info[4][0])) for info in infos)


def _parsed(url: str) -> yarl.URL:
    import yarl

    try:
        # Signed urls must go out as they came, so quoting is only touched where the url is not finished.
        return yarl.URL(url, encoded=url.isascii() and " " not in url)
    except ValueError:
        raise ModelNotFound(f"Invalid model url: {url}") from None


async def _save(
    response: aiohttp.ClientResponse,
    url: str,
    target: Path,
    limits: DownloadLimits,
    progress: FetchProgress,
) -> str:
    announced_bytes = response.content_length
    if announced_bytes is not None and announced_bytes > limits.max_bytes:
        raise _too_large(url, limits)
    digest = hashlib.sha256()
    log = ProgressLog(url, announced_bytes, limits.progress_interval_s, progress)
    done_bytes = 0
    with _created(target, url) as file:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            done_bytes += len(chunk)
            if done_bytes > limits.max_bytes:
                raise _too_large(url, limits)
            digest.update(chunk)
            _write(file, chunk, url)
            log.show(done_bytes)
    return digest.hexdigest()


def _created(target: Path, url: str) -> BinaryIO:
    try:
        return target.open("xb", buffering=0)
    except OSError as error:
        raise _not_saved(url, error) from error


def _write(file: BinaryIO, chunk: bytes, url: str) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise _not_saved(url, error) from error


def file_digest(path: Path, cancellation: Cancellation) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises OSError, Cancelled."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            cancellation.raise_if_set()
            digest.update(chunk)
    return digest.hexdigest()


def check_digest(url: str, actual: str, expected: str | None) -> None:
    """Raise InvalidModel for a file whose SHA-256 is not the given one; without one nothing is checked."""
    if expected is not None and actual != expected.lower():
        raise InvalidModel(f"{url} has the SHA-256 {actual}, not {expected.lower()}.")


class ProgressLog:
    """A log line every few seconds, for downloads that take that long."""

    def __init__(
        self, url: str, total_bytes: int | None, interval_s: float, progress: FetchProgress
    ) -> None:
        progress.total_bytes = total_bytes
        self._progress = progress
        self._url = without_secrets(url)
        self._interval_s = interval_s
        self._next_at = time.monotonic() + interval_s

    def show(self, done_bytes: int) -> None:
        now = time.monotonic()
        self._progress.done_bytes = done_bytes
        if now < self._next_at:
            return
        self._next_at = now + self._interval_s
        logger.info("Downloading %s: %s", self._url, self._progress)


def _failed(url: str, error: Exception) -> DownloadFailed:
    logger.warning(
        "Failed to download model from %s: %s", without_secrets(url), error or type(error).__name__
    )
    return DownloadFailed(f"Failed to download model from: {url}, {_reason(error)}")


def _reason(error: Exception) -> str:
    """Return why there was no answer, in words of the system where it has some."""
    inner = getattr(error, "os_error", None) or error
    number = getattr(inner, "errno", None)
    if isinstance(inner, OSError) and number in errno.errorcode:
        # aiohttp has addresses in place of the reason.
        return os.strerror(number or 0)
    text = getattr(inner, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]


def _too_large(url: str, limits: DownloadLimits) -> DownloadFailed:
    return DownloadFailed(
        f"Failed to download model from: {url}, it has more than {limits.max_bytes} bytes"
    )


def _not_saved(url: str, error: OSError) -> InternalServerError:
    logger.error("Failed to save model from %s: %s", without_secrets(url), error)
    return InternalServerError(f"Failed to save model: {url}")
