"""Fetching archives into folders that workers can load from, and giving the folders back."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from archiver import DEFAULT_LIMITS, Archive, ArchiveError, InvalidManifest, Limits, Manifest
from mms import faults
from mms.errors import BadRequest, InternalServerError, InvalidModel, ServiceUnavailable
from mms.repository.download import (
    Cancellation,
    Cancelled,
    DownloadLimits,
    FetchProgress,
    check_digest,
    download,
    file_digest,
)
from mms.repository.location import (
    check_http_url,
    check_object_url,
    is_http_url,
    is_object_url,
    list_store,
    path_in_store,
)
from mms.repository.model_uri import ModelUris
from mms.repository.remote import copy_remote
from mms.repository.shared_folders import SharedFolders, close_to_others
from mms.repository.sources import Sources
from mms.repository.trust import Trust
from mms.text.urls import without_secrets

logger = logging.getLogger("mms.repository")

# Archives unpacked at one time; more would only share one disk.
_DISK_THREADS: Final = 4
# Downloads at one time. They have threads of their own, so that a slow origin holds up nothing but downloads.
_DOWNLOAD_THREADS: Final = 8
_MAX_NAME: Final = 64
#: What the end of the server waits for cancelled jobs, in seconds.
_CLOSE_S: Final = 5.0
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
    this archive alone, or to all archives of the same bytes, each of which has a `share` in it. `sha256`: of the
    archive file, in hexadecimal; None for a folder. `signed_by`: the id of the trusted key that has signed what is in
    the folder; None where no signature is asked for.
    """

    folder: Path
    manifest: Manifest | None
    is_in_place: bool
    sha256: str | None
    signed_by: str | None = None
    #: The folder that the manifest lies in, where it should not.
    misplaced_manifest: str | None = None
    share: int | None = None


class Repository:
    """Gets archives from the model store or from the net. Its methods are called on one event loop.

    Everything that blocks runs in threads of its own. Two fetches of one archive have two folders, unless `shares`.
    """

    def __init__(
        self,
        model_store: Path | None,
        cache_dir: Path,
        *,
        sources: Sources | None = None,
        limits: Limits = DEFAULT_LIMITS,
        download_limits: DownloadLimits | None = None,
        model_cache: Path | None = None,
        trust: Trust | None = None,
        shares: bool = False,
    ) -> None:
        """`cache_dir`: where archives are unpacked; made when first needed, and nobody else's.

        `model_cache`: a lasting folder for what `model_uri`s are fetched to; None: one below `cache_dir` that keeps
        nothing longer than its models.

        `sources`: what may be fetched from outside the model store; None: all urls, from public hosts and this machine.

        `shares`: whether archives of the same bytes have one folder. Not where workers can write to it: what the code
        of one model changes there would be changed for others.

        `trust`: whose signature each archive needs; None: none is asked for.
        """
        self.model_store = model_store
        self._cache_dir = Path(cache_dir).absolute()
        #: Where packages that models ask for are installed, for the life of the server, and beyond it.
        self.requirements_dir = self._cache_dir.parent / "requirements"
        self.lasting_requirements_dir = (
            None if model_cache is None else model_cache.absolute() / "requirements"
        )
        self.sources = Sources() if sources is None else sources
        self.limits = limits
        self._download_limits = download_limits or DownloadLimits()
        self._trust = trust
        self._shared: SharedFolders[FetchedArchive] | None = SharedFolders() if shares else None
        self.model_uris = ModelUris(
            model_cache or self._cache_dir / ".model-files",
            model_store,
            self.sources,
            is_lasting=model_cache is not None,
            limits=limits,
            download_limits=self._download_limits,
            trust=trust,
        )
        self._disk = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="repository")
        self._net = ThreadPoolExecutor(_DOWNLOAD_THREADS, thread_name_prefix="download")
        self._running: dict[Future[Any], Cancellation] = {}
        self._is_closed = False
        self._fetched = 0
        self._failed = 0

    async def fetch(
        self,
        url: str,
        *,
        sha256: str | None = None,
        is_from_operator: bool = False,
        watch: Callable[[FetchProgress], None] = lambda _: None,
    ) -> FetchedArchive:
        """Finds or downloads the archive that `url` names, and unpacks it where it is a file.

        `sha256`: what the file's must be, in hexadecimal; looked at before anything else in it is.
        `is_from_operator`: whether whoever starts the server names the url, not a client.
        `watch`: gets what tells how far a fetch from elsewhere is.

        Raises ModelNotFound, BadRequest, DownloadFailed, InvalidModel (no archive, unsafe, or a bad manifest),
        InternalServerError (disk) and ServiceUnavailable (closed meanwhile). After an error or a cancellation nothing
        stays on the disk.
        """
        if self._is_closed:
            raise _stopping()
        cancellation = Cancellation()
        is_remote = is_http_url(url) or is_object_url(url)
        threads = self._net if is_remote else self._disk
        if is_remote:
            watch(cancellation.progress)
        future = self._start(
            threads,
            cancellation,
            self._fetch_if_wanted,
            url,
            self.sources.of_operator if is_from_operator else self.sources,
            sha256,
            cancellation,
        )
        try:
            fetched = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not cancellation.cancel():
                # It was finished just now, with nobody left to give the folder back.
                self._have_discarded(future)
            raise
        except Cancelled:
            raise _stopping() from None
        except Exception:
            self._failed += 1
            raise
        self._fetched += 1
        return fetched

    async def make_empty(self) -> FetchedArchive:
        """Return a new folder without files, for a model that needs no archive. Raises InternalServerError."""

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
            await asyncio.to_thread(self._give_back, fetched)
            return
        removal = self._start(self._disk, Cancellation(), self._give_back, fetched)
        await asyncio.shield(asyncio.wrap_future(removal))

    def list_store(self) -> list[str]:
        """Return the urls that `load_models=ALL` stands for. Blocks. Raises ModelNotFound where there is no store."""
        return list_store(self.model_store)

    def clean(self) -> None:
        """Remove what servers left in the lasting cache that were killed. Blocks."""
        self.model_uris.clean()

    async def close(self) -> None:
        """Ends what is still being fetched, and waits until its files are gone."""
        self._is_closed = True
        await self.model_uris.close()
        # Copies, because a job takes itself out of the dict in its own thread.
        for cancellation in list(self._running.values()):
            cancellation.cancel()
        running = [asyncio.wrap_future(future) for future in list(self._running)]
        if running:
            # A cancelled job ends with its next piece; a network file system may never give one.
            _, stuck = await asyncio.wait(running, timeout=_CLOSE_S)
            if stuck:
                logger.warning(
                    "%d archives are still being read; the server does not wait for them.",
                    len(stuck),
                )
        self._disk.shutdown(wait=False)
        self._net.shutdown(wait=False)

    def statistics(self) -> dict[str, int]:
        return {"fetched": self._fetched, "failed": self._failed, "running": len(self._running)}

    def __repr__(self) -> str:
        return f"Repository(model_store={self.model_store}, cache_dir={self._cache_dir}, {self.statistics()})"

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

    def _have_discarded(self, finished: Future[FetchedArchive]) -> None:
        if self._is_closed:
            self._discard(finished)
        else:
            self._start(self._disk, Cancellation(), self._discard, finished)

    # Below: runs in the threads.

    def _fetch_if_wanted(
        self, url: str, sources: Sources, wanted: str | None, cancellation: Cancellation
    ) -> FetchedArchive:
        """Raises Cancelled, and leaves nothing, where it was cancelled by the end."""
        fetched = self._fetch(url, sources, wanted, cancellation)
        if not cancellation.finish():
            self._give_back(fetched)
            raise Cancelled
        return fetched

    def _fetch(
        self, url: str, sources: Sources, wanted: str | None, cancellation: Cancellation
    ) -> FetchedArchive:
        cancellation.raise_if_set()
        if is_http_url(url):
            check_http_url(url)
            sources.urls.check(url)
            return self._fetch_download(url, sources, wanted, cancellation)
        if is_object_url(url):
            check_object_url(url, sources)
            return self._fetch_objects(url, wanted, cancellation)
        path = path_in_store(url, self.model_store, sources)
        if path.is_dir():
            if wanted is not None:
                raise BadRequest(f"{url} is a folder, which has no SHA-256; register an archive.")
            if self._trust is not None:
                # A copy, as what lies in the store may change after it was looked at.
                return self._unpack_signed(path, url, None, self._trust, cancellation)
            return self._in_place(path, url)
        with _io_named(url):
            sha256 = file_digest(path, cancellation)
        check_digest(url, sha256, wanted)
        return self._unpack(path, url, sha256, cancellation)

    def _fetch_download(
        self, url: str, sources: Sources, wanted: str | None, cancellation: Cancellation
    ) -> FetchedArchive:
        with _io_named(url):
            work = self._new_path(".incoming")
            work.mkdir()
        try:
            path = work / _file_name(url)
            sha256 = download(url, path, sources, self._download_limits, cancellation)
            check_digest(url, sha256, wanted)
            logger.info("Downloaded %s, %d bytes", without_secrets(url), path.stat().st_size)
            return self._unpack(path, url, sha256, cancellation)
        finally:
            self._remove(work)

    def _fetch_objects(
        self, url: str, wanted: str | None, cancellation: Cancellation
    ) -> FetchedArchive:
        """Return an archive that is one object, or the objects below a key, which make a folder."""
        with _io_named(url):
            work = self._new_path(".incoming")
            work.mkdir()
        try:
            path = work / _file_name(url)
            logger.info("Fetching %s", without_secrets(url))
            copy_remote(url, path, "", self._download_limits, cancellation)
            with _io_named(url):
                found = list(path.iterdir())
            if len(found) == 1 and found[0].is_file() and found[0].name == path.name:
                path = found[0]
                with _io_named(url):
                    sha256 = file_digest(path, cancellation)
                check_digest(url, sha256, wanted)
                return self._unpack(path, url, sha256, cancellation)
            if wanted is not None:
                raise BadRequest(f"{url} is a folder, which has no SHA-256; register an archive.")
            return replace(self._unpack(path, url, "", cancellation), sha256=None)
        finally:
            self._remove(work)

    def _in_place(self, path: Path, url: str) -> FetchedArchive:
        with _io_named(url), Archive.open(path, limits=self.limits) as archive:
            return FetchedArchive(
                path / archive.root,
                archive.manifest,
                True,
                None,
                misplaced_manifest=archive.misplaced_manifest,
            )

    def _unpack(
        self, path: Path, url: str, sha256: str, cancellation: Cancellation
    ) -> FetchedArchive:
        if self._trust is not None:
            return self._unpack_signed(path, url, sha256, self._trust, cancellation)
        if path.suffix in _DOCUMENT_SUFFIXES:
            return self._copy_document(path, url, sha256)
        if self._shared is None or not sha256:
            return self._unpack_alone(path, url, sha256, cancellation)

        def unpack() -> FetchedArchive:
            unpacked = self._unpack_alone(path, url, sha256, cancellation)
            with _io_named(url), self._removed_on_failure(unpacked.folder):
                close_to_others(unpacked.folder)
            return unpacked

        unpacked, share = self._shared.take(sha256, unpack)
        return replace(unpacked, share=share)

    def _unpack_alone(
        self, path: Path, url: str, sha256: str, cancellation: Cancellation
    ) -> FetchedArchive:
        with _io_named(url), Archive.open(path, limits=self.limits) as archive:
            manifest, misplaced = archive.manifest, archive.misplaced_manifest
            folder = self._new_path(_stem(path.name))
            archive.extract(folder, progress=lambda *_: cancellation.raise_if_set())
            return FetchedArchive(folder, manifest, False, sha256, misplaced_manifest=misplaced)

    def _unpack_signed(
        self, path: Path, url: str, sha256: str | None, trust: Trust, cancellation: Cancellation
    ) -> FetchedArchive:
        if path.suffix in _DOCUMENT_SUFFIXES and path.is_file():
            raise InvalidModel(
                f"{url} is a document outside an archive; because require_signature is on, it must be {DOCUMENT_NAME} "
                "in a signed archive."
            )
        trusted = trust.keys()
        with _io_named(url), Archive.open(path, limits=self.limits) as archive:
            _, signed_by = archive.trusted_signature(trusted)
            folder = self._new_path(_stem(path.name))
            archive.extract(
                folder, progress=lambda *_: cancellation.raise_if_set(), trusted=trusted
            )
        # From what was unpacked, and not from what may have changed since.
        with (
            _io_named(url),
            self._removed_on_failure(folder),
            Archive.open(folder, limits=self.limits) as unpacked,
        ):
            manifest, misplaced = unpacked.manifest, unpacked.misplaced_manifest
        logger.info("%s is signed by %s", without_secrets(url), signed_by)
        return FetchedArchive(folder, manifest, False, sha256, signed_by, misplaced)

    def _copy_document(self, path: Path, url: str, sha256: str) -> FetchedArchive:
        """Copy a graph's document that stands alone into a folder, as an archive of nothing else; return the folder."""
        with _io_named(url):
            if path.stat().st_size > _MAX_DOCUMENT_BYTES:
                raise InvalidModel(f"{url} is larger than {_MAX_DOCUMENT_BYTES} bytes.")
            folder = self._new_path(_stem(path.name))
            with self._removed_on_failure(folder):
                folder.mkdir()
                shutil.copyfile(path, folder / DOCUMENT_NAME)
        return FetchedArchive(folder, None, False, sha256)

    def _new_path(self, stem: str) -> Path:
        """Return a path in the cache that nobody else has. Raises OSError."""
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        return self._cache_dir / f"{stem}-{secrets.token_hex(8)}"

    @faults.contained("archive")
    def _discard(self, finished: Future[FetchedArchive]) -> None:
        self._give_back(finished.result())

    def _give_back(self, fetched: FetchedArchive) -> None:
        if fetched.is_in_place:
            return
        if fetched.share is None or self._shared is None or self._shared.give_back(fetched.share):
            self._remove(fetched.folder)

    @contextmanager
    def _removed_on_failure(self, folder: Path) -> Iterator[None]:
        """What fails leaves no folder behind."""
        try:
            yield
        except BaseException:
            self._remove(folder)
            raise

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
    """Turns errors of archives and disks into errors for the client."""
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


def _file_name(url: str) -> str:
    """Return the last part of the url's path, made fit for a file, so that messages name what the client knows."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.\-]", "_", last).lstrip(".")[-_MAX_NAME:] or "model"


def _stem(file_name: str) -> str:
    stem = re.sub(r"(\.mar|\.model|\.tar\.gz|\.tgz)$", "", file_name)
    return re.sub(r"[^\w\-]", "_", stem)[:_MAX_NAME] or "model"
