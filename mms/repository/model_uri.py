"""Fetching the model files that a `model_uri` names, into a cache that is addressed by their content.

A local path is used where it is. What is fetched lies in `content/<SHA-256 of all names and files>/`, so that two uris
with the same files share one folder; `index/` remembers what a uri had last and by which version it can be asked
again. Both are written beside their place and renamed, so that a reader finds all or nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from archiver import Archive, ArchiveError, Limits, uri_scheme
from mms.errors import (
    BadRequest,
    InternalServerError,
    InvalidModel,
    ModelNotFound,
    ServerError,
    ServiceUnavailable,
)
from mms.repository.download import (
    Cancellation,
    Cancelled,
    DownloadLimits,
    FetchProgress,
    NotModified,
    Validators,
    check_digest,
    download,
    file_digest,
)
from mms.repository.location import check_http_url, is_below
from mms.repository.remote import copy_remote
from mms.repository.sources import Sources
from mms.repository.trust import Trust
from mms.repository.work_folder import WorkFolder, remove_left, settle
from mms.text.urls import without_secrets

logger = logging.getLogger("mms.repository")

# By the name alone: files of PyTorch and numpy are zip files, too, and must stay as they are.
_ARCHIVES: Final = (".zip", ".tar.gz", ".tgz", ".mar")
_FETCHES_AT_ONCE: Final = 4
_MAX_NAME: Final = 128


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where the files of a `model_uri` are. `content`: their address in the cache, None for what is in place."""

    uri: str
    path: Path
    content: str | None


@dataclass(slots=True)
class _Known:
    """What the index has of a uri."""

    content: str
    etag: str | None = None
    last_modified: str | None = None
    fingerprint: str = ""
    #: of the file that was downloaded, before it was unpacked
    sha256: str | None = None


class _FileRequest(NamedTuple):
    """A uri to fetch, and the rules for it. `sha256`: of the one file that the uri names."""

    uri: str
    sources: Sources
    sha256: str | None


class _Fetch:
    """A fetch under way, and how many wait for it."""

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self.waiting = 0
        self.task: asyncio.Task[str]


class ModelUris:
    """Fetches the files of `model_uri` and owns their cache.

    Its methods are called on one event loop; what blocks runs in threads of its own.
    """

    def __init__(
        self,
        cache_dir: Path,
        model_store: Path | None,
        sources: Sources,
        *,
        is_lasting: bool,
        limits: Limits,
        download_limits: DownloadLimits,
        trust: Trust | None = None,
    ) -> None:
        """`cache_dir`: made when first needed. `is_lasting`: content stays after its last model has gone.

        `trust`: whose signature what is fetched needs to have in it; None: none is asked for.
        """
        self._cache_dir = Path(cache_dir).absolute()
        self._model_store = model_store
        self._sources = sources
        self._is_lasting = is_lasting
        self._limits = limits
        self._download_limits = download_limits
        self._trust = trust
        self._threads = ThreadPoolExecutor(_FETCHES_AT_ONCE, thread_name_prefix="model-uri")
        self._fetches: dict[_FileRequest, _Fetch] = {}
        #: Also those that nobody waits for any more.
        self._running: dict[asyncio.Task[str], Cancellation] = {}
        self._users: Counter[str] = Counter()
        self._work: WorkFolder | None = None
        self._work_lock = threading.Lock()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"ModelUris({self._cache_dir}, {len(self._users)} in use, {len(self._fetches)} on their way)"

    async def fetch(
        self,
        uri: str,
        archive_folder: Path | None,
        *,
        sha256: str | None = None,
        is_from_operator: bool = False,
        watch: Callable[[FetchProgress], None] = lambda _: None,
    ) -> ModelFiles:
        """Return the files that `uri` names. A relative path is one of the archive, else of the model store.

        `sha256`: what that of the one file must be that the uri names, before it is unpacked. `is_from_operator`:
        whether whoever starts the server names the uri, not a client. `watch`: gets what tells how far the fetch is.

        Two calls for one uri at a time fetch it once. Raises BadRequest (not allowed, a wrong uri), ModelNotFound,
        DownloadFailed, InvalidModel (an archive that must not be unpacked), InternalServerError (disk) and
        ServiceUnavailable (closed meanwhile).
        """
        sources = self._sources.of_operator if is_from_operator else self._sources
        request = _FileRequest(uri, sources, sha256)
        scheme = uri_scheme(uri)
        if scheme in ("", "file"):
            path = await asyncio.to_thread(self._local, request, archive_folder)
            return ModelFiles(uri, path, None)
        if scheme in ("http", "https"):
            check_http_url(uri)
        elif sha256 is not None:
            raise BadRequest(
                f"sha256 is for one file, and {uri} may be a folder; use an http(s) url."
            )
        elif "::" in uri:
            # fsspec would take what follows for another address.
            raise BadRequest(f"model_uri {uri} contains ::, which is not allowed.")
        sources.urls.check(uri)
        while True:
            content = await self._shared(request, watch)
            path = self._place(content)
            if path.is_dir():
                return ModelFiles(uri, path, content)
            # Its last user has let it go between the look at it and now.
            self._let_go(content)

    async def release(self, files: ModelFiles) -> None:
        """Gives the files back. They go with the last one who does, unless the cache is a lasting one."""
        if files.content is not None:
            removal = self._let_go(files.content)
            if removal is not None:
                await asyncio.to_thread(shutil.rmtree, removal, True)

    async def close(self) -> None:
        """Ends what is still being fetched."""
        self._is_closed = True
        for cancellation in self._running.values():
            cancellation.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._threads.shutdown(wait=False)
        work, self._work = self._work, None
        if work is not None:
            await asyncio.to_thread(work.close)

    async def _shared(self, request: _FileRequest, watch: Callable[[FetchProgress], None]) -> str:
        """Return the content of a uri, with its caller as one more user of it."""
        if self._is_closed:
            raise _stopping()
        fetch = self._fetches.get(request)
        if fetch is None:
            fetch = self._fetches[request] = _Fetch()
            fetch.task = asyncio.get_running_loop().create_task(self._run(request, fetch))
            self._running[fetch.task] = fetch.cancellation
            fetch.task.add_done_callback(self._on_end)
        fetch.waiting += 1
        watch(fetch.cancellation.progress)
        try:
            return await asyncio.shield(fetch.task)
        except asyncio.CancelledError:
            if fetch.task.done():
                if not fetch.task.cancelled() and fetch.task.exception() is None:
                    self._let_go(fetch.task.result())
            else:
                fetch.waiting -= 1
                if not fetch.waiting:
                    fetch.cancellation.cancel()
                    self._forget(request, fetch)
            raise

    def _on_end(self, task: asyncio.Task[str]) -> None:
        del self._running[task]
        if not task.cancelled():
            # Looked at, since nobody may wait any more when it fails.
            task.exception()

    def _forget(self, request: _FileRequest, fetch: _Fetch) -> None:
        if self._fetches.get(request) is fetch:
            del self._fetches[request]

    async def _run(self, request: _FileRequest, fetch: _Fetch) -> str:
        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(
                self._threads, self._fetch, request, fetch.cancellation
            )
        except Cancelled:
            raise _stopping() from None
        finally:
            self._forget(request, fetch)
        # Counted before anybody who waits can run, or could let it go.
        self._users[content] += fetch.waiting
        return content

    def _let_go(self, content: str) -> Path | None:
        """Count one user less. Return the folder to remove, renamed already, where it was the last."""
        self._users[content] -= 1
        if self._users[content] > 0:
            return None
        del self._users[content]
        if self._is_lasting:
            return None
        if self._work is None:
            return self._place(content)
        doomed = self._new_path("removing")
        try:
            self._place(content).rename(doomed)
        except OSError:
            return None
        return doomed

    # Below: runs in threads.

    def _local(self, request: _FileRequest, archive_folder: Path | None) -> Path:
        uri = request.uri
        path = _path_of(uri)
        own = [folder for folder in (archive_folder, self._model_store) if folder is not None]
        if not path.is_absolute():
            for folder in own:
                if _exists(folder / path):
                    path = Path(os.path.abspath(folder / path))
                    break
            else:
                raise ModelNotFound(
                    f"model_uri {uri}: the archive has no such path, nor has the model store"
                )
        is_in_archive = archive_folder is not None and is_below(path, archive_folder)
        if self._trust is not None and not request.sources.is_operator and not is_in_archive:
            raise BadRequest(
                f"model_uri {uri} is not in the signed archive; because require_signature is on, local files "
                "must be there."
            )
        # Not said before it is known that it may be asked, lest it tell what this machine has.
        if not request.sources.is_operator and not any(is_below(path, folder) for folder in own):
            request.sources.check_path(path)
            request.sources.check_path(Path(os.path.realpath(path)))
        if not _exists(path):
            raise ModelNotFound(f"model_uri {uri}: there is no {path}")
        if request.sha256 is not None:
            if not path.is_file():
                raise BadRequest(f"model_uri {uri} is a folder, which has no SHA-256.")
            with _disk_named(uri):
                check_digest(uri, file_digest(path, Cancellation()), request.sha256)
        return path

    def _fetch(self, request: _FileRequest, cancellation: Cancellation) -> str:
        cancellation.raise_if_set()
        uri = request.uri
        with _disk_named(uri):
            self._prepare()
            known = self._read_index(uri)
            work = self._new_path("incoming")
            work.mkdir()
        try:
            known = self._fetched(request, work, known, cancellation)
            with _disk_named(uri):
                self._write_index(uri, known)
            return known.content
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _fetched(
        self, request: _FileRequest, work: Path, known: _Known | None, cancellation: Cancellation
    ) -> _Known:
        uri = request.uri
        files = work / "files"
        found = _Known("")
        logger.info("Fetching %s", without_secrets(uri))
        try:
            if uri_scheme(uri) in ("http", "https"):
                validators = Validators()
                if known is not None and (request.sha256 is None or known.sha256 == request.sha256):
                    validators = Validators(known.etag, known.last_modified)
                files.mkdir()
                target = files / _file_name(uri)
                limits = self._download_limits
                found.sha256 = download(
                    uri, target, request.sources, limits, cancellation, validators
                )
                check_digest(uri, found.sha256, request.sha256)
                found.etag, found.last_modified = validators.etag, validators.last_modified
            else:
                fingerprint = known.fingerprint if known is not None else ""
                found.fingerprint = copy_remote(
                    uri, files, fingerprint, self._download_limits, cancellation
                )
        except NotModified:
            assert known is not None
            logger.info("%s has not changed", without_secrets(uri))
            with _disk_named(uri):
                self._check_signature(self._place(known.content), cancellation)
            return known
        with _disk_named(uri):
            files = self._unpacked(files, work, cancellation)
            found.content = _content_address(files, cancellation)
            size_bytes = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
            place = self._place(found.content)
            # What is kept already stays; the same name is no proof that it is the same.
            self._check_signature(place if place.is_dir() else files, cancellation)
            self._keep(files, found.content)
        logger.info(
            "Fetched %s, %d bytes, %s", without_secrets(uri), size_bytes, found.content[:12]
        )
        return found

    def _check_signature(self, files: Path, cancellation: Cancellation) -> None:
        if self._trust is not None:
            self._trust.check_folder(files, self._limits, cancellation.raise_if_set)

    def _unpacked(self, files: Path, work: Path, cancellation: Cancellation) -> Path:
        """Return `files`, or the content of the only file there where that is an archive by its name."""
        entries = list(files.iterdir())
        if len(entries) != 1 or not entries[0].is_file():
            return files
        if not entries[0].name.lower().endswith(_ARCHIVES):
            return files
        with Archive.open(entries[0], limits=self._limits) as archive:
            return archive.extract(
                work / "unpacked", progress=lambda *_: cancellation.raise_if_set()
            )

    def _keep(self, files: Path, content: str) -> None:
        place = self._place(content)
        if self._is_lasting:
            # A machine that stops must not leave a folder behind that bears the name of files it does not have.
            settle(files)
        try:
            files.rename(place)
        except OSError:
            # Another fetch, or another server with this cache, was first: the same files.
            if not place.is_dir():
                raise

    def clean(self) -> None:
        """Remove what a server left that was killed. Blocks."""
        if self._cache_dir.is_dir():
            with _disk_named(str(self._cache_dir)):
                remove_left(self._cache_dir)

    def _prepare(self) -> None:
        with self._work_lock:
            if self._work is not None and self._work.path.is_dir():
                return
            # Also where somebody has cleared the folder away meanwhile.
            self._cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("content", "index"):
                (self._cache_dir / name).mkdir(exist_ok=True)
            remove_left(self._cache_dir)
            if self._work is not None:
                self._work.close()
            self._work = WorkFolder.make(self._cache_dir)

    def _place(self, content: str) -> Path:
        return self._cache_dir / "content" / content

    def _new_path(self, purpose: str) -> Path:
        assert self._work is not None
        return self._work.path / f"{purpose}-{secrets.token_hex(8)}"

    def _index_path(self, uri: str) -> Path:
        return self._cache_dir / "index" / f"{hashlib.sha256(uri.encode()).hexdigest()}.json"

    def _read_index(self, uri: str) -> _Known | None:
        """Return what is known of a uri whose content is still there."""
        try:
            members = json.loads(self._index_path(uri).read_text())
            known = _Known(**members)
        except (OSError, ValueError, TypeError):
            return None
        return known if self._place(known.content).is_dir() else None

    def _write_index(self, uri: str, known: _Known) -> None:
        members = {
            "content": known.content,
            "etag": known.etag,
            "last_modified": known.last_modified,
            "fingerprint": known.fingerprint,
            "sha256": known.sha256,
        }
        work = self._new_path("incoming")
        work.write_text(json.dumps(members))
        if self._is_lasting:
            settle(work)
        work.rename(self._index_path(uri))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _path_of(uri: str) -> Path:
    """Return the path that `file://[localhost]/path` or a plain path names. Raises BadRequest."""
    path = uri
    if uri_scheme(uri) == "file":
        parts = urlsplit(uri)
        if parts.netloc.lower() not in ("", "localhost") or not parts.path.startswith("/"):
            raise BadRequest(f"model_uri {uri} is not file:///an/absolute/path")
        path = unquote(parts.path)
    if "\0" in path or ".." in path.split("/"):
        raise BadRequest(f"model_uri {uri} has a .. or a null in its path")
    return Path(path)


def _file_name(url: str) -> str:
    """Return the last part of the url's path, made fit for a file."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.\-]", "_", last).lstrip(".")[-_MAX_NAME:] or "model"


def _content_address(folder: Path, cancellation: Cancellation) -> str:
    """Return the SHA-256 over names and contents of all files of a folder."""
    lines = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        lines.append(f"{file_digest(path, cancellation)} {path.relative_to(folder).as_posix()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _stopping() -> ServiceUnavailable:
    return ServiceUnavailable("The server is shutting down.", retry_after_s=1)


@contextmanager
def _disk_named(uri: str) -> Iterator[None]:
    try:
        yield
    except ServerError:
        raise
    except ArchiveError as error:
        raise InvalidModel(f"model_uri {uri}: {error}") from error
    except OSError as error:
        logger.error("Failed to save %s: %s", without_secrets(uri), error)
        raise InternalServerError(f"Failed to save model: {uri}") from error
