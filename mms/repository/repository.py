"""Fetching archives into folders that workers can load from, and giving the folders back."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from archiver import DEFAULT_LIMITS, Archive, ArchiveError, InvalidManifest, Limits, Manifest
from mms.errors import InternalServerError, InvalidModel, ServiceUnavailable
from mms.repository.download import Cancellation, Cancelled, DownloadLimits, download, shown
from mms.repository.location import (
    AllowedUrls,
    check_http_url,
    is_http_url,
    list_store,
    path_in_store,
)
from mms.repository.model_uri import ModelUris

logger = logging.getLogger("mms.repository")

_CHUNK_BYTES: Final = 1024 * 1024
# Archives unpacked at one time; more would only share one disk.
_DISK_THREADS: Final = 4
# Downloads at one time. They have threads of their own, so that a slow origin holds up nothing but downloads.
_DOWNLOAD_THREADS: Final = 8
_MAX_NAME: Final = 64
#: A graph's document: what it is called in an archive, and how such a file is known that stands alone.
DOCUMENT_NAME: Final = "graph.yaml"
_DOCUMENT_SUFFIXES: Final = (".yaml", ".yml", ".json")
_MAX_DOCUMENT_BYTES: Final = 1 << 20

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FetchedArchive:
    """An archive as a folder, ready for workers.

    `is_in_place`: the folder is the model store's own and stays when the archive is released; otherwise it belongs to
    this archive alone. `sha256`: of the archive file, in hexadecimal; None for a folder.
    """

    folder: Path
    manifest: Manifest | None
    is_in_place: bool
    sha256: str | None


class Repository:
    """Gets archives from the model store or from the net. Its methods are called on one event loop.

    Everything that blocks runs in threads of its own. Two fetches of one archive have two folders.
    """

    def __init__(
        self,
        model_store: Path | None,
        cache_dir: Path,
        *,
        allowed_urls: Sequence[str] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        download_limits: DownloadLimits | None = None,
        model_cache: Path | None = None,
    ) -> None:
        """`cache_dir`: where archives are unpacked; made when first needed, and nobody else's.

        `model_cache`: a lasting folder for what `model_uri`s are fetched to; None: one below `cache_dir` that keeps
        nothing longer than its models.

        `allowed_urls`: regular expressions, one of which must match the whole of a url outside the model store;
        None allows all. Raises ConfigurationError for one that is none.
        """
        self._model_store = model_store
        self._cache_dir = Path(cache_dir).absolute()
        self._allowed_urls = AllowedUrls.compile(allowed_urls)
        self._limits = limits
        self._download_limits = download_limits or DownloadLimits()
        self.model_uris = ModelUris(
            model_cache or self._cache_dir / ".model-files",
            model_store,
            self._allowed_urls,
            is_lasting=model_cache is not None,
            limits=limits,
            download_limits=self._download_limits,
        )
        self._disk = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="repository")
        self._net = ThreadPoolExecutor(_DOWNLOAD_THREADS, thread_name_prefix="download")
        self._running: dict[Future[Any], Cancellation] = {}
        self._is_closed = False
        self._fetched = 0
        self._failed = 0

    async def fetch(self, url: str) -> FetchedArchive:
        """Finds or downloads the archive that `url` names, and unpacks it where it is a file.

        Raises ModelNotFound, BadRequest, DownloadFailed, InvalidModel (no archive, unsafe, or a bad manifest),
        InternalServerError (disk) and ServiceUnavailable (closed meanwhile). After an error or a cancellation nothing
        stays on the disk.
        """
        if self._is_closed:
            raise _stopping()
        cancellation = Cancellation()
        threads = self._net if is_http_url(url) else self._disk
        future = self._start(threads, cancellation, self._fetch, url, cancellation)
        try:
            fetched = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            cancellation.cancel()
            # It may have been finished just now, with nobody left to give the folder back.
            future.add_done_callback(self._discard)
            raise
        except Cancelled:
            raise _stopping() from None
        except Exception:
            self._failed += 1
            raise
        self._fetched += 1
        return fetched

    async def make_empty(self) -> FetchedArchive:
        """A new folder without files, for a model that needs no archive. Raises InternalServerError."""

        def make() -> Path:
            with _io_named("a model without an archive"):
                folder = self._new_path("model")
                folder.mkdir()
                return folder

        return FetchedArchive(await asyncio.to_thread(make), None, False, None)

    async def release(self, fetched: FetchedArchive) -> None:
        """Gives a fetched archive back: its folder goes, unless it is the model store's. Once gone, does nothing."""
        if fetched.is_in_place:
            return
        # Shielded, since the folder must go even when the caller is cancelled.
        if self._is_closed:
            await asyncio.to_thread(self._remove, fetched.folder)
            return
        removal = self._start(self._disk, Cancellation(), self._remove, fetched.folder)
        await asyncio.shield(asyncio.wrap_future(removal))

    def list_store(self) -> list[str]:
        """The urls that `load_models=ALL` stands for. Blocks. Raises ModelNotFound where there is no store."""
        return list_store(self._model_store)

    async def close(self) -> None:
        """Ends what is still being fetched, and waits until its files are gone."""
        self._is_closed = True
        await self.model_uris.close()
        # Copies, because a job takes itself out of the dict in its own thread.
        for cancellation in list(self._running.values()):
            cancellation.cancel()
        running = [asyncio.wrap_future(future) for future in list(self._running)]
        await asyncio.gather(*running, return_exceptions=True)
        self._disk.shutdown(wait=False)
        self._net.shutdown(wait=False)

    def statistics(self) -> dict[str, int]:
        return {"fetched": self._fetched, "failed": self._failed, "running": len(self._running)}

    def __repr__(self) -> str:
        return f"Repository(model_store={self._model_store}, cache_dir={self._cache_dir}, {self.statistics()})"

    def _start(
        self,
        threads: ThreadPoolExecutor,
        cancellation: Cancellation,
        job: Callable[_P, _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Future[_T]:
        future = threads.submit(job, *args, **kwargs)
        self._running[future] = cancellation
        future.add_done_callback(lambda done: self._running.pop(done, None))
        return future

    # Below: runs in the threads.

    def _fetch(self, url: str, cancellation: Cancellation) -> FetchedArchive:
        cancellation.raise_if_set()
        if is_http_url(url):
            check_http_url(url)
            self._allowed_urls.check(url)
            return self._fetch_download(url, cancellation)
        path = path_in_store(url, self._model_store, self._allowed_urls)
        if path.is_dir():
            return self._in_place(path, url)
        return self._unpack(path, url, None, cancellation)

    def _fetch_download(self, url: str, cancellation: Cancellation) -> FetchedArchive:
        with _io_named(url):
            work = self._new_path(".incoming")
            work.mkdir()
        try:
            path = work / _file_name(url)
            sha256 = download(url, path, self._allowed_urls, self._download_limits, cancellation)
            logger.info("Downloaded %s, %d bytes", shown(url), path.stat().st_size)
            return self._unpack(path, url, sha256, cancellation)
        finally:
            self._remove(work)

    def _in_place(self, path: Path, url: str) -> FetchedArchive:
        with _io_named(url), Archive.open(path, limits=self._limits) as archive:
            return FetchedArchive(path / archive.root, archive.manifest, True, None)

    def _unpack(
        self, path: Path, url: str, sha256: str | None, cancellation: Cancellation
    ) -> FetchedArchive:
        if path.suffix in _DOCUMENT_SUFFIXES:
            return self._copy_document(path, url, sha256, cancellation)
        with _io_named(url), Archive.open(path, limits=self._limits) as archive:
            manifest = archive.manifest
            if sha256 is None:
                sha256 = _sha256(path, cancellation)
            folder = self._new_path(_stem(path.name))
            archive.extract(folder, progress=lambda *_: cancellation.raise_if_set())
            return FetchedArchive(folder, manifest, False, sha256)

    def _copy_document(
        self, path: Path, url: str, sha256: str | None, cancellation: Cancellation
    ) -> FetchedArchive:
        """A graph's document that stands alone, as an archive of nothing else."""
        with _io_named(url):
            if path.stat().st_size > _MAX_DOCUMENT_BYTES:
                raise InvalidModel(f"{url} is larger than {_MAX_DOCUMENT_BYTES} bytes.")
            if sha256 is None:
                sha256 = _sha256(path, cancellation)
            folder = self._new_path(_stem(path.name))
            folder.mkdir()
            shutil.copyfile(path, folder / DOCUMENT_NAME)
        return FetchedArchive(folder, None, False, sha256)

    def _new_path(self, stem: str) -> Path:
        """A path in the cache that nobody else has. Raises OSError."""
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        return self._cache_dir / f"{stem}-{secrets.token_hex(8)}"

    def _discard(self, future: Future[FetchedArchive]) -> None:
        if not future.cancelled() and future.exception() is None:
            fetched = future.result()
            if not fetched.is_in_place:
                self._remove(fetched.folder)

    def _remove(self, folder: Path) -> None:
        if folder.parent != self._cache_dir:
            raise ValueError(f"{folder} is not a folder of the cache {self._cache_dir}")
        # Renamed first, so that no half-removed folder ever bears a model's name.
        doomed = self._new_path(".removing")
        try:
            folder.rename(doomed)
            shutil.rmtree(doomed)
        except FileNotFoundError:
            return
        except OSError as error:
            logger.warning("Failed to remove %s: %s", folder, error)


def _stopping() -> ServiceUnavailable:
    return ServiceUnavailable("The server is shutting down.", retry_after_s=1)


@contextmanager
def _io_named(url: str) -> Iterator[None]:
    """Turns what archives and disks raise into what a client is told."""
    try:
        yield
    except InvalidManifest as error:
        if error.detail:
            logger.warning("%s: %s (%s)", url, error, error.detail)
        raise InvalidModel(str(error)) from error
    except ArchiveError as error:
        raise InvalidModel(str(error)) from error
    except OSError as error:
        logger.error("Failed to save model %s: %s", url, error)
        raise InternalServerError(f"Failed to save model: {url}") from error


def _sha256(path: Path, cancellation: Cancellation) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            cancellation.raise_if_set()
            digest.update(chunk)
    return digest.hexdigest()


def _file_name(url: str) -> str:
    """The last part of the url's path, made fit for a file, so that messages name what the client knows."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.\-]", "_", last).lstrip(".")[-_MAX_NAME:] or "model"


def _stem(file_name: str) -> str:
    stem = re.sub(r"(\.mar|\.model|\.tar\.gz|\.tgz)$", "", file_name)
    return re.sub(r"[^\w\-]", "_", stem)[:_MAX_NAME] or "model"
