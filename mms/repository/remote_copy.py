"""A process that copies a model from an object store or a model registry into a folder.

It is a process of its own because the libraries for that are large, and neither their memory nor their faults belong
into the server. Its arguments are the uri, the new folder, the most bytes that it may take, and the fingerprint of what
is there already, if anything is. It writes JSON objects, a line each, to standard output:

- `{"done_bytes": 1, "total_bytes": 2}` now and then; a total of 0 is not known;
- at the end `{"fingerprint": "..."}`, `{"unchanged": true}`, or `{"error": "a sentence"}`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final, NamedTuple

from archiver import InvalidArchive, uri_scheme
from archiver.reading.names import checked_name

#: Scheme -> what to install.
EXTRAS: Final = {"s3": "s3", "gs": "gs", "models": "mlflow"}
_COPIES_AT_ONCE: Final = 4
_REPORT_S: Final = 1.0
# What tells one version of an object from another, with the stores that have it; then the times.
_VERSION_MEMBERS: Final = (
    *("ETag", "etag", "md5Hash", "crc32c", "generation"),
    *("LastModified", "updated", "mtime", "created"),
)

Report = Callable[[dict[str, Any]], None]


class CopyFailed(Exception):
    """The message is a sentence for the person who named the uri."""


class _Object(NamedTuple):
    key: str
    name: str
    size_bytes: int
    version: str


def copy(uri: str, target: Path, max_bytes: int, known: str, report: Report) -> str | None:
    """Copies what `uri` names into the new folder `target`; returns its fingerprint, None where it is `known`.

    The fingerprint is empty where no version is known. Raises CopyFailed, and what the libraries raise.
    """
    # Libraries know schemes in small letters alone.
    uri = f"{uri_scheme(uri)}:{uri.partition(':')[2]}"
    if uri_scheme(uri) == "models":
        return _copy_registered(uri, target, known)
    return _copy_objects(uri, target, max_bytes, known, report)


def missing_extra(uri: str, package: str) -> CopyFailed:
    scheme = uri_scheme(uri)
    shown = "models:/" if scheme == "models" else f"{scheme}://"
    return CopyFailed(
        f"{shown} needs the package {package}: pip install 'marserve[{EXTRAS[scheme]}]'"
    )


# Object stores


def _copy_objects(uri: str, target: Path, max_bytes: int, known: str, report: Report) -> str | None:
    try:
        import fsspec.core
    except ImportError:
        raise missing_extra(uri, "fsspec") from None
    try:
        files, root = fsspec.core.url_to_fs(uri)
    except ImportError:
        raise missing_extra(uri, {"s3": "s3fs", "gs": "gcsfs"}[uri_scheme(uri)]) from None
    try:
        objects = _objects(files, root, uri)
    except Exception as error:
        if type(error).__name__ != "NoCredentialsError":
            raise
        # Without credentials what is public can still be read.
        files, root = fsspec.core.url_to_fs(uri, anon=True)
        objects = _objects(files, root, uri)
    fingerprint = _fingerprint(objects)
    if fingerprint == known:
        return None
    total_bytes = sum(item.size_bytes for item in objects)
    if total_bytes > max_bytes:
        raise CopyFailed(f"it has {total_bytes} bytes, more than the {max_bytes} that are allowed")
    target.mkdir()
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as threads:
        copies = [threads.submit(_copy_object, files, item, target) for item in objects]
        pending = set(copies)
        while pending:
            _, pending = wait(pending, timeout=_REPORT_S)
            report({"done_bytes": _size_bytes(target), "total_bytes": total_bytes})
        for copied in copies:
            copied.result()
    return fingerprint


def _objects(files: Any, root: str, uri: str) -> list[_Object]:
    """Return what lies at or below a key, sorted by name. Raises CopyFailed where there is nothing."""
    try:
        found = files.info(root)
    except FileNotFoundError:
        raise CopyFailed("there is nothing of that name") from None
    if found["type"] == "file":
        return [_object(root, root.rstrip("/").rpartition("/")[2], found)]
    listed = files.find(root, detail=True)
    prefix = root.rstrip("/") + "/"
    objects = [
        _object(key, key[len(prefix) :], details)
        for key, details in sorted(listed.items())
        if details["type"] == "file" and key.startswith(prefix) and not key.endswith("/")
    ]
    if not objects:
        raise CopyFailed("there is nothing of that name")
    return objects


def _object(key: str, name: str, details: Mapping[str, Any]) -> _Object:
    try:
        checked_name(name)
    except InvalidArchive as error:
        raise CopyFailed(f"{error}") from None
    version = next((str(details[m]) for m in _VERSION_MEMBERS if details.get(m)), "")
    return _Object(key, name, int(details.get("size") or 0), version)


def _fingerprint(objects: list[_Object]) -> str:
    if not all(item.version for item in objects):
        return ""
    described = json.dumps([(item.name, item.size_bytes, item.version) for item in objects])
    return hashlib.sha256(described.encode()).hexdigest()


def _copy_object(files: Any, item: _Object, target: Path) -> None:
    place = target / item.name
    place.parent.mkdir(parents=True, exist_ok=True)
    files.get_file(item.key, str(place))


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# MLflow's registry


def _copy_registered(uri: str, target: Path, known: str) -> str | None:
    try:
        import mlflow.artifacts
        from mlflow.store.artifact.models_artifact_repo import (
            ModelsArtifactRepository,
        )
    except ImportError:
        raise missing_extra(uri, "mlflow") from None
    # A version of a registered model always means the same files; an alias or a stage leads to a version.
    fingerprint = str(ModelsArtifactRepository.get_underlying_uri(uri))
    if fingerprint == known:
        return None
    target.mkdir()
    copied = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target)))
    if copied.is_dir() and copied.resolve() != target.resolve():
        for item in copied.iterdir():
            item.rename(target / item.name)
        copied.rmdir()
    return fingerprint


def main() -> int:
    """Run a copy as the arguments say. Return 0 once the outcome is reported, whatever it is."""
    uri, target, max_bytes, known = sys.argv[1:]
    # Libraries print; what is read by the server has a descriptor of its own.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(message: dict[str, Any]) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    try:
        fingerprint = copy(uri, Path(target), int(max_bytes), known, report)
    except CopyFailed as error:
        report({"error": str(error)})
    except Exception as error:
        # The libraries have errors of many kinds; each is the answer to this uri.
        report({"error": " ".join(f"{type(error).__name__}: {error}".split())})
    else:
        if fingerprint is None:
            report({"unchanged": True})
        else:
            report({"fingerprint": fingerprint})
    return 0
