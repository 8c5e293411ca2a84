"""Files and objects by their addresses."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mms.interfaces.mlrun.errors import MLRunNotFoundError
from mms.interfaces.mlrun.files.data_item import DataItem
from mms.interfaces.mlrun.files.model_spec import ModelArtifact
from mms.interfaces.mlrun.files.stores import FileItem, item_class, join_url, path_of

_resolver: Callable[[str], Any] | None = None


def set_store_resolver(resolver: Callable[[str], Any] | None) -> None:
    """Set what `store://` addresses mean: a function of the address that returns a ModelArtifact, its document, or
    another address. None: such addresses are errors.
    """
    global _resolver
    _resolver = resolver


def get_store_resource(uri: str, *_: Any, **__: Any) -> Any:
    """Return what a `store://` address means. Raises MLRunNotFoundError where nobody resolves it."""
    found = _resolver(uri) if _resolver is not None else None
    if found is None:
        raise MLRunNotFoundError(
            f"{uri} cannot be read: store:// addresses are kept by MLRun's service. Give the folder or file that it "
            "stands for, or a resolver: mms.interfaces.mlrun.files.datastore.set_store_resolver"
        )
    if isinstance(found, dict):
        return ModelArtifact.from_dict(found)
    return found


def is_store_uri(url: Any) -> bool:
    return str(url).startswith("store://")


def get_dataitem(url: Any, secrets: Any = None, db: Any = None) -> DataItem:
    """Return the DataItem of an address. Raises MLRunInvalidArgumentError for a scheme that nothing reads."""
    text = os.fspath(url) if isinstance(url, os.PathLike) else str(url)
    artifact_url = text
    if is_store_uri(text):
        found = get_store_resource(text)
        text = getattr(found, "target_path", None) or str(found)
    kind = item_class(text)
    key = text.rstrip("/").rpartition("/")[2]
    return kind(key, path_of(text) if kind is FileItem else text, artifact_url)


def get_object(
    url: Any, secrets: Any = None, size: int | None = None, offset: int = 0, db: Any = None
) -> Any:
    """Return the content of an address, bytes."""
    return get_dataitem(url).get(size, offset)


def item_beside(folder: str, name: str, key: str | None = None) -> DataItem:
    """Return the item of a file that a document in `folder` names."""
    item = get_dataitem(join_url(folder, name))
    if key:
        item.key = key
    return item
