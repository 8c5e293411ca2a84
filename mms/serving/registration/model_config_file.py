"""What is said of a model besides its registration: by its archive's `model-config.yaml`, and by the setting `models`.

A registration goes before the file, the file before the setting, and that before what holds for all models.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archiver.layouts import Layout
from archiver.model_config import (
    CONFIG_NAME,
    InvalidModelConfig,
    WorkerBounds,
    read_config_file,
    read_config_keys,
)
from mms.errors import InvalidModel
from mms.repository import FetchedArchive
from mms.serving.options import RegisterOptions
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: What other servers' snapshots have in the setting besides.
OF_SNAPSHOTS: Final = (
    *("defaultVersion", "fromOperator", "marName", "modelVersion", "runtime", "runtimeType"),
)


@dataclass(frozen=True, slots=True)
class CompletedOptions:
    """A registration with what it left out. `document`: the archive's file, whole, of which handlers have keys."""

    options: RegisterOptions
    workers: WorkerBounds | None
    document: dict[str, Any]


def with_file_and_setting(
    options: RegisterOptions,
    archive: FetchedArchive,
    settings: Settings,
    default_name: str | None,
    layout: Layout | None = None,
) -> CompletedOptions:
    """The registration with what the archive's files and the setting `models` say where it says nothing itself.

    Blocks. `default_name`: of a model that has no other. `layout`: what its folder is in another server's. Raises
    InvalidModel for a file that cannot be read.
    """
    document = _of_file(archive)
    workers: WorkerBounds | None = None
    manifest = archive.manifest
    if options.model_version is None and settings.default_version is not None:
        options = options.with_values(model_version=settings.default_version)
    name = options.model_name or (manifest.model_name if manifest else None) or default_name
    version = (manifest.model_version if manifest is not None else None) or options.model_version
    for source, said, besides in (
        (_file_name(archive), document, None),
        *(() if layout is None else ((layout.file, layout.config, None),)),
        (f"the setting models, {name}", _of_setting(settings.models, name, version), OF_SNAPSHOTS),
    ):
        config = read_config_keys(said, besides=besides)
        for problem in config.problems:
            logger.warning("%s: %s", source, problem)
        options = options.or_else(**config.values)
        workers = workers or config.workers
    if layout is not None:
        for problem in layout.problems:
            logger.warning("%s: %s", layout.file, problem)
    return CompletedOptions(options, workers, document)


def _file_name(archive: FetchedArchive) -> str:
    manifest = archive.manifest
    return (manifest.config_file if manifest is not None else None) or CONFIG_NAME


def _of_file(archive: FetchedArchive) -> dict[str, Any]:
    name = _file_name(archive)
    path = archive.folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.is_file():
        if name != CONFIG_NAME:
            logger.warning("The archive has no file %s, which its manifest names.", brief(name))
        return {}
    # Here, as most archives have no such file.
    from mms.text.documents import MAX_BYTES

    try:
        with path.open("rb") as file:
            # No more of one that is too large, which is refused.
            return read_config_file(file.read(MAX_BYTES + 1), name)
    except InvalidModelConfig as error:
        raise InvalidModel(str(error)) from None
    except OSError as error:
        raise InvalidModel(f"{name} cannot be read: {error}.") from None


def _of_setting(
    models: Mapping[str, Any] | None, name: str | None, version: str | None
) -> Mapping[str, Any]:
    versions = (models or {}).get(name or "", {})
    found = versions.get(version) if version is not None else None
    if found is None and version is None and len(versions) == 1:
        # A model without a version has one entry, whatever it is called.
        found = next(iter(versions.values()))
    if versions and found is None:
        logger.warning(
            "The setting models has no effect on model %s, %s: it names the versions %s.",
            *(name, "which has no version" if version is None else f"version {version}"),
            " and ".join(versions),
        )
    return found or {}
