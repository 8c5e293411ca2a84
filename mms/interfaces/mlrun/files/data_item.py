"""One file or object by its address, as classes get them in their extra data."""

from __future__ import annotations

import os
from typing import Any

from mms.interfaces.mlrun.files.stores import Store, is_local

_READERS = {
    ".csv": "read_csv",
    ".json": "read_json",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".pqt": "read_parquet",
}


class DataItem:
    """`str()` of one of this machine is its path, of others their address."""

    def __init__(
        self,
        key: str,
        store: Store,
        subpath: str,
        url: str = "",
        artifact_url: str | None = None,
        meta: Any = None,
    ) -> None:
        """`subpath`: its path or address, unless `url` is given."""
        self.key = key
        self._store = store
        self._url = url or subpath
        self._artifact_url = artifact_url
        self.meta = meta

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"'{self._url}'"

    def __fspath__(self) -> str:
        """Its path on this machine: what `open(item)` reads."""
        return self.local()

    @property
    def kind(self) -> str:
        """What holds it: `file`, `http`, `s3`, ..."""
        return self._store.kind

    @property
    def store(self) -> Store:
        return self._store

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

    def get(
        self,
        size: int | None = None,
        offset: int = 0,
        encoding: str | None = None,
        **_: Any,
    ) -> Any:
        """Its content: bytes, or text where an encoding is given. Raises OSError."""
        content = self._store.get(self._url, size, offset or 0)
        return content.decode(encoding) if encoding else content

    def download(self, target_path: str) -> str:
        """Write its content to a file."""
        import shutil

        os.makedirs(os.path.dirname(target_path) or ".", exist_ok=True)
        source = self._store.fetch(self._url)
        if os.path.abspath(source) != os.path.abspath(target_path):
            shutil.copyfile(source, target_path)
        return target_path

    def put(self, data: Any, append: bool = False, **_: Any) -> None:
        """Write text or bytes. Raises TypeError for other data, OSError."""
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, bytes | bytearray | memoryview):
            # bytes(5) would be five zeros.
            raise TypeError(f"{self._url} takes text or bytes, not {type(data).__name__}")
        self._store.put(self._url, bytes(data), append)

    def delete(self) -> None:
        """Remove it, if it is there. Raises OSError."""
        try:
            self._store.delete(self._url)
        except FileNotFoundError:
            pass

    def upload(self, src_path: str) -> None:
        with open(src_path, "rb") as file:
            self.put(file.read())

    def stat(self) -> Any:
        """Its `size`, `modified` and `content_type`. Raises OSError."""
        return self._store.stat(self._url)

    def exists(self) -> bool:
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def open(self, mode: str = "rb") -> Any:
        """Return a file object. Raises OSError."""
        return self._store.open(self._url, mode)

    def ls(self) -> list[str]:
        return self.listdir()

    def listdir(self) -> list[str]:
        """Names of what is in the folder, sorted. Raises OSError."""
        return self._store.list_names(self._url)

    def list_files(self) -> list[str]:
        """Names of the files in the folder, sorted. Raises OSError."""
        return self._store.list_files(self._url)

    def local(self) -> str:
        """Return a path of this machine with its content, under the name it has. Raises OSError."""
        return self._store.fetch(self._url)

    def remove_local(self) -> None:
        """Nothing: what was fetched is shared, and goes when the last process that uses it ends."""

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
            options.setdefault("lines", _has_lines(self.get(1)))
        elif columns:
            options["usecols" if reader == "read_csv" else "columns"] = columns
        frame = getattr(frames, reader)(self.local(), **options)
        return frame[columns] if columns else frame

    def get_artifact_type(self) -> Any:
        return getattr(self.meta, "kind", None)


def local_or_url(item: DataItem) -> str:
    """Return the path that a class opens: of files elsewhere, that of their content here."""
    return item.url if is_local(item.url) else item.local()


def _has_lines(first: bytes) -> bool:
    return first != b"["
