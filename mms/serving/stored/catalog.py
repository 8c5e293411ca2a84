"""What the archives of the model store are, by their manifests or the files of other servers."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from archiver import Archive, ArchiveError, Limits, Manifest
from archiver.layouts import find_layout
from mms import faults
from mms.serving.state.startup_models import name_from_url
from mms.serving.watched.folder import Stamp, scan


@dataclass(frozen=True, slots=True)
class StoredArchive:
    """An archive of the store. `url`: its name there. `problem`: why it cannot be read; else empty."""

    url: str
    name: str
    version: str | None = None
    problem: str = ""


class Catalog:
    """Remembers what each archive said, as long as it looks the same from outside."""

    def __init__(self, store: Path | None, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._known: dict[str, tuple[Stamp, StoredArchive]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Catalog of {self._store}, {len(self._known)} archives known>"

    def read(self) -> list[StoredArchive]:
        """Return the archives, by their names in the store; none where no setting names a store. Blocks.

        Raises ModelNotFound where the store's folder is not there, and OSError.
        """
        if self._store is None:
            return []
        with self._lock:
            known: dict[str, tuple[Stamp, StoredArchive]] = {}
            for url, stamp in scan(self._store).items():
                before = self._known.get(url)
                is_same = before is not None and before[0] == stamp
                found = before[1] if before is not None and is_same else self._look_into(url)
                known[url] = (stamp, found)
            self._known = known
            return [found for _, found in known.values()]

    def _look_into(self, url: str) -> StoredArchive:
        assert self._store is not None
        name = name_from_url(url)
        try:
            with Archive.open(self._store / url, limits=self._limits) as archive:
                manifest = archive.manifest or Manifest({})
            if (self._store / url).is_dir() and not manifest.handler:
                layout = find_layout(self._store / url)
                if layout is not None:
                    manifest = layout.complete(manifest, PurePosixPath(url).stem)
        except (ArchiveError, OSError, ValueError) as error:
            return StoredArchive(url, name, problem=f"{url} cannot be read: {error}")
        except Exception as error:
            # One archive that nothing foresaw is no reason to list and load none of the others.
            faults.note("model store", error, name)
            return StoredArchive(url, name, problem=f"{url} cannot be read: {error!r}")
        return StoredArchive(url, manifest.model_name or name, manifest.model_version)
