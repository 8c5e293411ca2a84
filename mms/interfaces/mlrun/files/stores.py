"""Items by their addresses: files of this machine, http(s), and what fsspec and its packages reach."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, MLRunMissingDependencyError
from mms.interfaces.mlrun.files.data_item import DataItem, FileStats

if TYPE_CHECKING:
    from mms.fetch.http_client import CheckedHttp
    from mms.wire import UrlRules

#: A token that http(s) sources are asked with.
TOKEN_VARIABLE = "HTTPS_AUTH_TOKEN"
#: Scheme -> what reads it, where its name does not say so.
_PACKAGES = {
    "s3": "marserve[s3]",
    "gs": "marserve[gs]",
    "gcs": "marserve[gs]",
    "az": "fsspec adlfs",
    "wasb": "fsspec adlfs",
    "wasbs": "fsspec adlfs",
    "abfs": "fsspec adlfs",
    "oss": "fsspec ossfs",
    "dbfs": "fsspec",
    "hdfs": "fsspec pyarrow",
    "memory": "fsspec",
}
_SCHEMES_OF_FSSPEC = {"wasb": "abfs", "wasbs": "abfs"}
_OF_MLRUN = {
    "v3io": "the data layer of Iguazio",
    "v3ios": "the data layer of Iguazio",
    "ds": "a profile of MLRun's service",
    "redis": "a profile of MLRun's service",
    "rediss": "a profile of MLRun's service",
}
_CHUNK_BYTES = 1024 * 1024
_TIMEOUT_S = 300.0

_checked: CheckedHttp | None = None


def hold_http_to(rules: UrlRules | None) -> None:
    """Read http(s) by these rules from now on, in all of this process, as another chose what is read. None: by none."""
    global _checked
    if rules is None:
        _checked = None
        return
    from mms.fetch.http_client import CheckedHttp
    from mms.limits.networks import Networks

    _checked = CheckedHttp(
        rules.allowed_urls,
        Networks.parse(rules.allowed_private_addresses),
        lambda url: not_allowed("url", url),
        has_own_networks=rules.has_own_networks,
        max_bytes=rules.max_bytes,
    )


def not_allowed(what: str, url: str) -> MLRunInvalidArgumentError:
    return MLRunInvalidArgumentError(f"{what} {url} does not match any allowed URL(s)")


def scheme_of(url: str) -> str:
    """Empty for a path."""
    scheme, sign, _ = url.partition("://")
    return scheme.lower() if sign else ""


def path_of(url: str) -> str:
    """Return the path that a path or `file://` address names."""
    if scheme_of(url) != "file":
        return url
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise MLRunInvalidArgumentError(f"{url} is on another machine, {parts.netloc}")
    return unquote(parts.path)


def is_local(url: str) -> bool:
    return scheme_of(url) in ("", "file")


def join_url(base: str, name: str) -> str:
    """Return the address of a file beside others; `name` itself where it is an address or an absolute path."""
    if "://" in name or name.startswith("/"):
        return name
    name = name.removeprefix("./")
    return f"{base.rstrip('/')}/{name}" if base else name


def item_class(url: str) -> type[DataItem]:
    """Return the class of an address's item. Raises MLRunInvalidArgumentError."""
    scheme = scheme_of(url)
    if _checked is not None and "::" in url:
        raise MLRunInvalidArgumentError(f"{url} cannot be read: nested addresses are not supported")
    if scheme in ("", "file"):
        return FileItem
    if scheme in ("http", "https"):
        return HttpItem
    if scheme in _OF_MLRUN:
        raise MLRunInvalidArgumentError(
            f"{url} cannot be read: {scheme}:// is {_OF_MLRUN[scheme]}, which this server does not reach"
        )
    return FsspecItem


class FileItem(DataItem):
    """Of this machine."""

    kind = "file"

    def read(self, size: int | None, offset: int) -> bytes:
        with open(self._url, "rb") as file:
            file.seek(offset)
            return file.read(-1 if size is None else size)

    def write(self, data: bytes, is_appended: bool) -> None:
        os.makedirs(os.path.dirname(self._url) or ".", exist_ok=True)
        with open(self._url, "ab" if is_appended else "wb") as file:
            file.write(data)

    def remove(self) -> None:
        os.unlink(self._url)

    def stat(self) -> FileStats:
        found = os.stat(self._url)
        return FileStats(found.st_size, found.st_mtime)

    def listdir(self) -> list[str]:
        return sorted(os.listdir(self._url))

    def list_files(self) -> list[str]:
        return [name for name in self.listdir() if os.path.isfile(os.path.join(self._url, name))]

    def local(self) -> str:
        return self._url

    def open(self, mode: str = "rb") -> Any:
        return open(self._url, mode, encoding=None if "b" in mode else "utf-8")


class HttpItem(DataItem):
    """Reads http(s), with the token of HTTPS_AUTH_TOKEN where it is set. Certificates are verified."""

    @property
    def kind(self) -> str:  # type: ignore[override]  # of the address
        return scheme_of(self._url)

    def read(self, size: int | None, offset: int) -> bytes:
        headers = {}
        if offset or size is not None:
            end = "" if size is None else str(offset + size - 1)
            headers["Range"] = f"bytes={offset}-{end}"
        with self._open(headers) as response:
            limit = _checked.max_bytes if _checked is not None else None
            content: bytes = response.read() if limit is None else response.read(limit + 1)
            _check_size(self._url, len(content))
            is_part = response.status == 206
        if is_part or not headers:
            return content
        # A server that does not know parts.
        return content[offset:] if size is None else content[offset : offset + size]

    def stat(self) -> FileStats:
        with self._open({}, "HEAD") as response:
            length = response.headers.get("Content-Length")
            modified = response.headers.get("Last-Modified")
            content_type = response.headers.get("Content-Type")
        from email.utils import parsedate_to_datetime

        return FileStats(
            int(length) if length else None,
            parsedate_to_datetime(modified).timestamp() if modified else None,
            content_type,
        )

    def local(self) -> str:
        import json
        from urllib.parse import unquote, urlsplit

        from mms.fetch.fetched_files import fetched_files

        def fetch(file: Any, known: str) -> str | None:
            validators = json.loads(known) if known else {}
            with self._open(validators) as response:
                if response.status == 304:
                    return None
                size_bytes = 0
                while chunk := response.read(_CHUNK_BYTES):
                    size_bytes += len(chunk)
                    _check_size(self._url, size_bytes)
                    file.write(chunk)
                pairs = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
                headers = response.headers
                return json.dumps({asked: headers[h] for h, asked in pairs if h in headers})

        name = unquote(urlsplit(self._url).path).rstrip("/").rpartition("/")[2]
        return fetched_files().fetch(self._url, name, fetch)

    def _open(self, headers: dict[str, str], method: str = "GET") -> Any:
        """Return an open response of status 200, 206 or 304. Raises OSError."""
        import urllib.error
        import urllib.request

        from mms.fetch.http_client import opener

        url = self._url
        token = os.environ.get(TOKEN_VARIABLE)
        request = urllib.request.Request(url, headers=headers, method=method)
        if token:
            # Not to be sent on where the server leads elsewhere.
            request.add_unredirected_header("Authorization", f"token {token}")
        try:
            return (_checked or opener()).open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return error
            with error:
                if error.code == 404:
                    raise FileNotFoundError(f"{url} is not there (404)") from error
                raise OSError(f"{url} cannot be read: {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            raise OSError(f"{url} cannot be read: {error.reason}") from error


def _check_size(url: str, size_bytes: int) -> None:
    limit = _checked.max_bytes if _checked is not None else None
    if limit is not None and size_bytes > limit:
        raise OSError(f"{url} has more than {limit} bytes, max_download_size")


class FsspecItem(DataItem):
    """What fsspec reads, with the credentials that its packages find in the environment."""

    @property
    def kind(self) -> str:  # type: ignore[override]  # of the address
        return scheme_of(self._url)

    def read(self, size: int | None, offset: int) -> bytes:
        files, path = self._at()
        end = None if size is None else offset + size
        content: bytes = files.cat_file(path, start=offset or None, end=end)
        return content

    def write(self, data: bytes, is_appended: bool) -> None:
        files, path = self._at()
        if is_appended and files.exists(path):
            data = files.cat_file(path) + data
        files.pipe_file(path, data)

    def remove(self) -> None:
        files, path = self._at()
        files.rm_file(path)

    def stat(self) -> FileStats:
        files, path = self._at()
        found = files.info(path)
        modified = found.get("LastModified") or found.get("updated") or found.get("created")
        timestamp = modified.timestamp() if hasattr(modified, "timestamp") else None
        return FileStats(found.get("size"), timestamp, found.get("ContentType"))

    def listdir(self) -> list[str]:
        return sorted(name for name, _ in self._listed())

    def list_files(self) -> list[str]:
        return sorted(name for name, is_file in self._listed() if is_file)

    def local(self) -> str:
        from mms.fetch.fetched_files import fetched_files

        def fetch(file: Any, known: str) -> str | None:
            files, path = self._at()
            version = str(files.ukey(path))
            if version == known:
                return None
            with files.open(path, "rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    file.write(chunk)
            return version

        return fetched_files().fetch(self._url, self._url.rstrip("/").rpartition("/")[2], fetch)

    def open(self, mode: str = "rb") -> Any:
        files, path = self._at()
        return files.open(path, mode)

    def _listed(self) -> list[tuple[str, bool]]:
        files, path = self._at()
        root = path.rstrip("/")
        return [
            (entry["name"].rstrip("/").rpartition("/")[2], entry["type"] == "file")
            for entry in files.ls(path, detail=True)
            # An object may be called as the folder is.
            if entry["name"].rstrip("/") != root
        ]

    def _at(self) -> tuple[Any, str]:
        """Return the file system and the path on it. Raises MLRunMissingDependencyError, MLRunInvalidArgumentError."""
        url = self._url
        packages = _PACKAGES.get(self.kind, "fsspec")
        known = _SCHEMES_OF_FSSPEC.get(self.kind, self.kind)
        try:
            import fsspec.core

            if known not in fsspec.available_protocols():
                raise MLRunInvalidArgumentError(
                    f"{url} cannot be read: the scheme {self.kind}:// is not known here"
                )
            files, path = fsspec.core.url_to_fs(known + url[len(self.kind) :])
        except ImportError as error:
            raise MLRunMissingDependencyError(
                f"{url} cannot be read: {error}. Install what is missing: pip install {packages}"
            ) from error
        return _public_where_no_credentials(files, path)


def _public_where_no_credentials(files: Any, path: str) -> tuple[Any, str]:
    """Return the same file system, asked without credentials where there are none: what is public can be read."""
    if getattr(files, "protocol", "") not in ("s3", ("s3", "s3a")):
        return files, path
    try:
        files.exists(path)
    except Exception as error:
        if type(error).__name__ != "NoCredentialsError":
            raise
        return type(files)(anon=True), path
    return files, path


def local_or_url(item: DataItem) -> str:
    """Return the path that a class opens: of files elsewhere, that of their content here."""
    return item.url if is_local(item.url) else item.local()
