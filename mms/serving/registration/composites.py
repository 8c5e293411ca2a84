"""Documents that describe models which ask other models, and what interfaces make of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from archiver import Component, Manifest
from mms.core import ModelVersion, Registry
from mms.errors import InvalidModel
from mms.interfaces import INTERFACES, part
from mms.repository import FetchedArchive
from mms.repository.sources import Sources
from mms.serving.model_client import ModelClient
from mms.serving.options import Outcome, RegisterOptions
from mms.serving.registration.model_factory import model_config
from mms.serving.registration.model_options import ModelOptions
from mms.serving.registration.pipeline import CompositeFactory, Registration
from mms.serving.served import ServedModel

if TYPE_CHECKING:
    from mms.settings import Settings

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class HostOperations:
    """What factories do to a host's models. `client`: asks them."""

    settings: Settings
    registry: Registry[ServedModel]
    client: ModelClient
    environ: Mapping[str, str]
    #: What clients may name outside the model store.
    sources: Sources
    #: Makes a model of a registration and its archive.
    make: Callable[[RegisterOptions, FetchedArchive, str | None], ServedModel]
    #: Makes it, too, and registers it.
    add: Callable[[RegisterOptions, str | None], Awaitable[ServedModel]]
    #: Does all of that but to put it where requests find it; the model whose place it is to take.
    prepare: Callable[[RegisterOptions, str | None, ServedModel | None], Awaitable[Registration]]
    #: Registers it and starts its workers.
    register: Callable[[RegisterOptions], Awaitable[tuple[ServedModel, Outcome]]]
    #: Removes a model that its registration is not to leave behind.
    discard: Callable[[ServedModel], Awaitable[None]]


def make_factories(host: HostOperations) -> list[CompositeFactory]:
    """Return the factories of interfaces. The first one that makes a model of a registration has it."""
    return [part(each.composites)(host) for each in INTERFACES if each.composites]


def find_document(registration: Registration) -> None:
    """Find the file of an archive that is a document: named by its handler, or, where it has no handler, of a name that
    an interface has for its documents. Raises InvalidModel where the handler names a file that is not there."""
    registration.document = _document_of(registration.archive, registration.options)


def name_of_composite(registration: Registration, *in_document: str | None) -> str:
    """Return the name of a model of other models: as registered, as in the archive, as its document says."""
    options, manifest = registration.options, registration.archive.manifest
    stem = PurePosixPath(options.url.partition("?")[0].rstrip("/")).stem
    named = (
        *(options.model_name, manifest.model_name if manifest is not None else None),
        *(*in_document, registration.default_name),
    )
    return next(filter(None, named), stem)


def composite_members(
    settings: Settings,
    archive: FetchedArchive,
    options: RegisterOptions,
    *,
    interface: str,
    name: str,
    handler: str,
) -> dict[str, Any]:
    """Return the arguments that every `CompositeModel` is made with."""
    found = archive.manifest if archive.manifest is not None else Manifest({})
    manifest = found.with_overrides(model_name=name, handler=handler)
    effective = options.with_defaults(settings)
    return {
        "model": ModelVersion(name, found.model_version, model_config(effective, settings)),
        "url": options.url or str(archive.folder),
        "archive": archive,
        "manifest": manifest,
        "handler": handler,
        "runtime": manifest.runtime or "python",
        "options": ModelOptions(interface, Component(), None, options),
        "effective": effective,
        "interface": interface,
    }


def _document_of(archive: FetchedArchive, options: RegisterOptions) -> Path | None:
    if options.value_of("prepackaged") is not None or options.handler or options.folder is not None:
        return None
    manifest = archive.manifest if archive.manifest is not None else Manifest({})
    handler = manifest.handler
    if handler is not None and not handler.endswith(_SUFFIXES):
        return None
    names = [interface.document_name for interface in INTERFACES if interface.document_name]
    for name in (handler,) if handler is not None else names:
        path = archive.folder / name
        if path.is_file():
            return path
    if handler is not None:
        raise InvalidModel(f"The archive has no file {handler}, which its handler names.")
    return None
