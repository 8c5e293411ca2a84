"""What a registration's url points at: a download, or something in the model store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from mms.errors import BadRequest, ModelNotFound
from mms.repository.sources import Sources, file_url
from mms.text.nearest import did_you_mean

_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_FILE: Final = re.compile(r"file://", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_OBJECT: Final = re.compile(r"(s3|gs)://", re.IGNORECASE)
# Programs do not agree on what a backslash is, and so on what the host is.
_UNFIT_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f\\]")
#: Signed urls have two or three thousand characters; patterns should not have to look at millions.
_MAX_URL: Final = 16384
_SHOWN: Final = 100
_ARCHIVE_SUFFIXES: Final = (".mar", ".model")


def is_http_url(url: str) -> bool:
    return _HTTP.match(url) is not None


def is_object_url(url: str) -> bool:
    """Return whether a url names what lies in an object store."""
    return _OBJECT.match(url) is not None


def check_object_url(url: str, sources: Sources) -> None:
    """Raise BadRequest for a url of an object store that is none, or not allowed."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if len(url) > _MAX_URL or not bucket or not key.strip("/") or _UNFIT_CHARACTER.search(url):
        raise BadRequest(
            f"Invalid model url: {url[:_SHOWN]}; {scheme.lower()}://bucket/key is right."
        )
    if "::" in url:
        # fsspec would take what follows for another address.
        raise BadRequest(f"Invalid model url: {url[:_SHOWN]} contains ::, which is not allowed.")
    sources.urls.check(url)


def check_http_url(url: str) -> None:
    """Raise ModelNotFound for a url that is none, such as one with letters for a port."""
    if len(url) > _MAX_URL:
        raise ModelNotFound(
            f"Invalid model url: {url[:_SHOWN]}... has {len(url)} characters, more than {_MAX_URL}"
        )
    try:
        if _UNFIT_CHARACTER.search(url):
            raise ValueError("it has a character that urls do not have")
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ModelNotFound(f"Invalid model url: {url}") from None
    if not parts.hostname:
        raise BadRequest(f"Invalid model url: {url} has no host; http://host/path is right.")


def path_in_store(url: str, model_store: Path | None, sources: Sources) -> Path:
    """Return the existing file or folder of the model store that `url` names. Raises ModelNotFound, BadRequest.

    An absolute-looking path is taken below the store, or else as one of something in the store, as some
    clients give it. A `file://` url may name what lies in the store, and for whoever starts the server any file or
    folder.
    A link must not lead out of it, unless whoever starts the server names it, or a pattern of theirs what it leads to.
    """
    if ".." in url:
        raise ModelNotFound(f"Relative path is not allowed in url: {url}")
    if sources.is_operator and _FILE.match(url):
        path = Path(unquote(urlsplit(url).path))
        if not path.is_file() and not path.is_dir():
            raise ModelNotFound(f"Model not found: {url}")
        return path
    if model_store is None:
        raise ModelNotFound("Model store has not been configured.")
    absent = ModelNotFound(f"Model not found in model store: {url}{_other_scheme(url)}")
    relative = url
    if _FILE.match(url):
        sources.urls.check(url)
        found = _below(model_store, url)
        if found is None:
            raise absent
        relative = found
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise absent
    path = model_store.joinpath(*parts)
    if not _is_there(path) and (inside := _in_store(model_store, relative)) is not None:
        path = model_store / inside
    if not _is_there(path):
        raise ModelNotFound(f"{absent.message}{_nearest_archive(url, model_store)}")
    if not path.is_file() and not path.is_dir():
        # Reading a pipe would wait for a writer for ever.
        raise ModelNotFound(
            f"Model not found in model store: {url} (it is neither a file nor a folder)"
        )
    target = Path(os.path.realpath(path))
    if not (sources.is_operator or is_below(target, model_store) or sources.names_path(target)):
        raise ModelNotFound(
            f"Model not found in model store: {url} (it is a link that leads out of the store, which allowed_urls "
            f"would have to allow as {file_url(target)})"
        )
    return Path(os.path.abspath(path))


def _nearest_archive(url: str, model_store: Path) -> str:
    """Return which archive of the store may be meant by one that is not there."""
    try:
        return did_you_mean(url, list_store(model_store))
    except (ModelNotFound, OSError):
        return ""


def _other_scheme(url: str) -> str:
    """Return what is to be said of a url that no download serves."""
    match = _SCHEME.match(url)
    if match is None or match[1].lower() == "file":
        return ""
    return f" ({match[1]}:// is not supported; urls begin with http://, https://, s3://, gs:// or file://)"


def is_below(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or lies in it, once all links of both are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _below(model_store: Path, file_url: str) -> str | None:
    """Return the path of `file://[localhost]/path` relative to the model store, None where it leads elsewhere."""
    try:
        parts = urlsplit(file_url)
    except ValueError:
        return None
    if parts.netloc.lower() not in ("", "localhost"):
        return None
    return _in_store(model_store, unquote(parts.path))


def _in_store(model_store: Path, path: str) -> str | None:
    """Return an absolute path relative to the model store, None where it leads elsewhere."""
    path = os.path.normpath(path)
    for store in (os.path.abspath(model_store), os.path.realpath(model_store)):
        if path.startswith(os.path.join(store, "")):
            return os.path.relpath(path, store)
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def list_store(model_store: Path | None) -> list[str]:
    """Return the store's folders and `.mar` and `.model` files, sorted, for `load_models=ALL`, without hidden ones.

    Raises ModelNotFound where there is no store.
    """
    if model_store is None:
        raise ModelNotFound("Model store is not configured.")
    if not model_store.is_dir():
        raise ModelNotFound(f"Model store path is not found: {model_store}")
    with os.scandir(model_store) as found:
        return sorted(item.name for item in found if _may_be_archive(item))


def _may_be_archive(item: os.DirEntry[str]) -> bool:
    if item.name.startswith("."):
        return False
    try:
        return item.is_dir() or (item.is_file() and item.name.endswith(_ARCHIVE_SUFFIXES))
    except OSError:
        # A link to itself, for one, which must not hide all others.
        return False
