"""A model's main file, description and other files, of the path or address that names the model."""

from __future__ import annotations

import os
from typing import Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.files.data_item import DataItem
from mms.interfaces.mlrun.files.datastore import (
    get_dataitem,
    get_store_resource,
    is_store_uri,
    item_beside,
)
from mms.interfaces.mlrun.files.model_spec import FILE_NAME, ModelArtifact, parse_model_spec
from mms.interfaces.mlrun.files.stores import is_local, join_url, local_or_url, path_of

#: What is looked for without a suffix, in this order.
SUFFIXES = (".pkl", ".pickle", ".bin", ".tar.gz")


def get_model(model_dir: Any, suffix: str = "") -> tuple[str, ModelArtifact | None, dict[str, Any]]:
    """Return (path of the model's file, its description, its other files by their keys).

    `model_dir`: the file itself (of `suffix`), a folder, a `.yaml` with the description, a `store://` address, or a
    DataItem of one of them. A folder's model_spec.yaml says which file it is; without one it is the first by name that
    ends in `suffix`, and all files are the others. What is elsewhere is fetched; names of files stay.
    Raises ValueError where there is no such file, OSError where it cannot be read.
    """
    if hasattr(model_dir, "artifact_url"):
        model_dir = model_dir.artifact_url
    address = os.fspath(model_dir) if isinstance(model_dir, os.PathLike) else str(model_dir)
    if is_store_uri(address):
        found = get_store_resource(address)
        if isinstance(found, str | os.PathLike):
            return get_model(found, suffix)
        return _of_artifact(found, address)
    if is_local(address):
        address = path_of(address)
    if address.lower().endswith(".yaml"):
        return _of_spec(address, suffix)
    if address.endswith(_wanted(suffix)) and not (is_local(address) and os.path.isdir(address)):
        return local_or_url(get_dataitem(address)), None, {}
    return _of_folder(address, suffix)


def _of_spec(address: str, suffix: str) -> tuple[str, ModelArtifact, dict[str, Any]]:
    content = get_dataitem(address).get()
    spec = parse_model_spec(content, address)
    base = address.rpartition("/")[0]
    if not spec.model_file:
        raise ValueError(f"cant resolve model file for {address} suffix{suffix}: it names none")
    return _file_of(spec, base), spec, _extra_data(spec, base)


def _of_folder(folder: str, suffix: str) -> tuple[str, ModelArtifact | None, dict[str, Any]]:
    item = get_dataitem(folder)
    try:
        names = item.list_files()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _unresolved(folder, suffix) from error
    if FILE_NAME in names:
        return _of_spec(join_url(folder, FILE_NAME) if folder else FILE_NAME, suffix)
    for ending in _wanted(suffix):
        for name in names:
            if name.endswith(ending):
                extra = {other: item_beside(folder, other) for other in names}
                return local_or_url(extra[name]), None, extra
    raise _unresolved(folder, suffix)


def _of_artifact(artifact: Any, address: str) -> tuple[str, ModelArtifact, dict[str, Any]]:
    if getattr(artifact, "kind", None) != ModelArtifact.kind:
        raise MLRunInvalidArgumentError(f"store artifact ({address}) is not model kind")
    base = artifact.target_path or artifact.src_path or ""
    return _file_of(artifact, base), artifact, _extra_data(artifact, base)


def _file_of(spec: Any, base: str) -> str:
    named = spec.model_target_file or spec.model_file
    return local_or_url(item_beside(base, str(named)))


def _extra_data(spec: Any, base: str) -> dict[str, DataItem]:
    found = {}
    for key, value in (spec.extra_data or {}).items():
        # In memory the other artifact itself may be there.
        name = getattr(value, "target_path", None) or getattr(value, "url", None) or value
        if name:
            found[key] = item_beside(base, str(name), key)
    return found


def _wanted(suffix: str) -> tuple[str, ...]:
    return (suffix,) if suffix else SUFFIXES


def _unresolved(folder: str, suffix: str) -> ValueError:
    return ValueError(f"cant resolve model file for {folder} suffix{suffix}")
