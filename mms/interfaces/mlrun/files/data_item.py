"""One file or object by its address, as classes get them in their extra data."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError

_READERS = {
    ".csv": "read_csv",
    ".json": "read_json",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".pqt": "read_parquet",
}


class FileStats:
    """`modified`: seconds since 1970, None where it is not known."""

    def __init__(
        self, size: int | None, modified: float | None = None, content_type: str | None = None
    ) -> None:
        self.size = size
        self.modified = modified
        self.content_type = content_type

    def __repr__(self) -> str:
        return f"FileStats(size={self.size}, modified={self.modified}, content_type={self.content_type})"


class DataItem(ABC):
    """A file or object; what is not there raises OSError. `str()` of one of this machine is its path, of others their
    address.
    """

    #: What holds it: `file`, `http`, `s3`, ...
    kind = ""

    def __init__(
        self, key: str, url: str, artifact_url: str | None = None, meta: Any = None
    ) -> None:
        self.key = key
        self._url = url
        self._artifact_url = artifact_url
        self.meta = meta

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"'{self._url}'"

    def __fspath__(self) -> str:
        """Return its path on this machine: what `open(item)` reads."""
        return self.local()

    @property
    def suffix(self) -> str:
        """With the dot; empty where it has none."""
        return os.path.splitext(self._url)[1]

    @property
    def url(self) -> str:
        return self._url

    @property
    def artifact_url(self) -> str:
        return self._artifact_url or self._url

    # What each kind has of its own

    @abstractmethod
    def read(self, size: int | None, offset: int) -> bytes:
        """Return its content, or a part of it."""

    def write(self, data: bytes, is_appended: bool) -> None:
        raise MLRunInvalidArgumentError(f"{self} cannot be written: {self.kind} is only read")

    def remove(self) -> None:
        raise MLRunInvalidArgumentError(f"{self} cannot be deleted: {self.kind} is only read")

    @abstractmethod
    def stat(self) -> FileStats:
        """Return what is known of it. Raises OSError where it is not there."""

    def listdir(self) -> list[str]:
        """Return the names of what is in the folder, sorted."""
        raise MLRunInvalidArgumentError(
            f"{self} cannot be listed: {self.kind} does not show folders"
        )

    def list_files(self) -> list[str]:
        """Return the names of the files in the folder, sorted."""
        return self.listdir()

    @abstractmethod
    def local(self) -> str:
        """Return a path of this machine with its content, under the name it has."""

    def open(self, mode: str = "rb") -> Any:
        """Return a file object."""
        if "r" not in mode:
            raise MLRunInvalidArgumentError(f"{self} cannot be opened for writing")
        import io

        content = io.BytesIO(self.read(None, 0))
        return content if "b" in mode else io.TextIOWrapper(content, "utf-8")

    # What all have

    def get(
        self,
        size: int | None = None,
        offset: int = 0,
        encoding: str | None = None,
        **_: Any,
    ) -> Any:
        """Return its content: bytes, or text where an encoding is given."""
        content = self.read(size, offset or 0)
        return content.decode(encoding) if encoding else content

    def download(self, target_path: str) -> str:
        """Write its content to a file."""
        import shutil

        os.makedirs(os.path.dirname(target_path) or ".", exist_ok=True)
        source = self.local()
        if os.path.abspath(source) != os.path.abspath(target_path):
            shutil.copyfile(source, target_path)
        return target_path

    def put(self, data: Any, append: bool = False, **_: Any) -> None:
        """Write text or bytes. Raises TypeError for other data."""
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, bytes | bytearray | memoryview):
            # bytes(5) would be five zeros.
            raise TypeError(f"{self} takes text or bytes, not {type(data).__name__}")
        self.write(bytes(data), append)

    def delete(self) -> None:
        """Remove it, if it is there."""
        try:
            self.remove()
        except FileNotFoundError:
            pass

    def exists(self) -> bool:
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def as_df(
        self,
        columns: list[str] | None = None,
        df_module: Any = None,
        format: str = "",
        **options: Any,
    ) -> Any:
        """Return a pandas DataFrame of a .csv, .json (one record a line) or .parquet file. Raises ValueError."""
        ending = f".{format.lower().removeprefix('.')}" if format else self.suffix.lower()
        reader = _READERS.get(ending)
        if reader is None:
            raise ValueError(
                f"{self._url} is not a table: the formats are csv, json and parquet, not {ending or '(none)'}"
            )
        frames = df_module
        if frames is None:
            from importlib import import_module

            frames = import_module("pandas")
        if reader == "read_json":
            options.setdefault("orient", "records")
            options.setdefault("lines", self.get(1) != b"[")
        elif columns:
            options["usecols" if reader == "read_csv" else "columns"] = columns
        frame = getattr(frames, reader)(self.local(), **options)
        return frame[columns] if columns else frame
