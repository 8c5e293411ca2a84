"""Where the owner of a cluster keeps what is registered: a file, or an object that fsspec reaches."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from mms.text.brief import brief

_FORMAT: Final = "multi-model-server cluster"
_FORMAT_VERSION: Final = 1
#: Registrations carry secrets: tokens in urls, parameters of models.
_MODE: Final = 0o600


class JournalError(Exception):
    """It cannot be read or written. The message names it and says why."""


class Journal(Protocol):
    """All methods block and raise JournalError."""

    def read(self) -> dict[str, Any] | None:
        """Return what was kept, None where nothing was."""

    def write(self, document: Mapping[str, Any]) -> None:
        """Keep this in place of what was. When it returns, it outlives a loss of power, or the store says so."""


def journal_at(place: str) -> Journal:
    """Return the journal at a path, or at a URL of fsspec such as `s3://bucket/key`."""
    return _Object(place) if "://" in place else _File(Path(place))


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def __repr__(self) -> str:
        return f"<Journal {self._path}>"

    def read(self) -> dict[str, Any] | None:
        try:
            return _decoded(self._path.read_bytes(), str(self._path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{self._path} cannot be read: {error.strerror or error}") from None

    def write(self, document: Mapping[str, Any]) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
            with open(descriptor, "wb") as file:
                file.write(_encoded(document))
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)
        except OSError as error:
            raise JournalError(
                f"{self._path} cannot be written: {error.strerror or error}"
            ) from None


class _Object:
    """Stores of objects replace one as a whole."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __repr__(self) -> str:
        return f"<Journal {self._url}>"

    def read(self) -> dict[str, Any] | None:
        try:
            files, path = _opened(self._url)
            data = files.cat_file(path)
        except FileNotFoundError:
            return None
        except JournalError:
            raise
        except Exception as error:
            # Each of fsspec's stores has errors of its own.
            raise JournalError(f"{self._url} cannot be read: {error}") from None
        return _decoded(data, self._url)

    def write(self, document: Mapping[str, Any]) -> None:
        try:
            files, path = _opened(self._url)
            files.pipe_file(path, _encoded(document))
        except JournalError:
            raise
        except Exception as error:
            raise JournalError(f"{self._url} cannot be written: {error}") from None


def _opened(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise JournalError(f'{url} needs the package fsspec: pip install "marserve[ray]"') from None
    files, path = url_to_fs(url)
    return files, str(path)


def _encoded(document: Mapping[str, Any]) -> bytes:
    header = {"format": _FORMAT, "format_version": _FORMAT_VERSION}
    return json.dumps({**header, **document}, separators=(",", ":")).encode()


def _decoded(data: bytes, place: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise JournalError(f"{place} is no state file of a cluster: give it another path")
    if document.get("format_version") != _FORMAT_VERSION:
        raise JournalError(
            f"{place} was written by another version of the server "
            f"(format {brief(document.get('format_version'))}, this one reads {_FORMAT_VERSION})"
        )
    return document
