"""Models of a state file that no worker is needed for: their archives are read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archiver import Component, Manifest
from mms.core import ModelVersion
from mms.core.config import ModelConfig
from mms.interfaces import AUTO, INTERFACES, find_interface
from mms.repository import FetchedArchive
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_factory import model_config
from mms.serving.registration.model_options import ModelOptions
from mms.serving.served import DormantModel, PooledModel, ServedModel
from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration

if TYPE_CHECKING:
    from mms.settings import Settings

#: They have no archive yet. One for all, as there may be many thousands.
_NO_ARCHIVE: Final = FetchedArchive(Path(), None, True, None)
_NO_MANIFEST: Final = Manifest({})
_NO_COMPONENT: Final = Component()
_MEMBERS: Final = ("interface", "handler", "runtime")
#: Parameters that hold while requests wait for the model to be made.
_LIMITS: Final = ("job_queue_size", "job_queue_bytes", "request_timeout_s")


def idle_part(served: ServedModel) -> dict[str, Any] | None:
    """Return what is to be known of a model at the next start, where it needs no more; None where it needs its archive.

    It does where it has workers, or something beside its own code: parts, an interface that puts models together,
    records.
    """
    if isinstance(served, PooledModel):
        if served.parts or served.owner or served.node or served.tracking:
            return None
        if served.interface == AUTO:
            return None
        interface = find_interface(served.interface)
        if interface.composites:
            return None
    elif not isinstance(served, DormantModel):
        return None
    if served.min_workers or served.startup_source is not None:
        return None
    known: dict[str, Any] = {member: getattr(served, member) for member in _MEMBERS}
    if served.declaration is not None:
        known["tensors"] = served.declaration.to_members()
    return known


class IdleModels:
    """Makes such models of the entries of a state file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._effective = RegisterOptions().with_defaults(settings)
        self._config = model_config(self._effective, settings)
        #: Models of one archive, and those that differ in their weights alone, share theirs.
        self._declarations: dict[ModelDeclaration, ModelDeclaration] = {}

    def __repr__(self) -> str:
        return f"<IdleModels {self._config}>"

    def of_entry(
        self,
        entry: dict[str, Any],
        options: RegisterOptions,
        make: Callable[[DormantModel], Awaitable[ServedModel]],
    ) -> DormantModel | None:
        """Return the model of an entry; None where that has to be made at once.

        `make`: makes it when somebody asks for it.
        """
        known = entry.get("idle")
        if not isinstance(known, dict) or entry["min_workers"] or entry.get("brought"):
            return None
        if not all(isinstance(known.get(member), str) for member in _MEMBERS):
            return None
        if not any(each.name == known["interface"] for each in INTERFACES):
            return None
        try:
            declaration = self._declared(known.get("tensors"))
        except InvalidDeclaration:
            return None
        return DormantModel(
            model=ModelVersion(entry["model"], entry.get("version"), self._config_of(options)),
            url=options.url,
            archive=_NO_ARCHIVE,
            manifest=_NO_MANIFEST,
            handler=known["handler"],
            runtime=known["runtime"],
            options=ModelOptions(known["interface"], _NO_COMPONENT, None, options),
            effective=self._effective,
            interface=known["interface"],
            declaration=declaration,
            registration=options,
            most_workers=entry["max_workers"],
            first_workers=entry.get("first_workers", 1),
            make=make,
        )

    def _config_of(self, options: RegisterOptions) -> ModelConfig:
        """Models with no limits of their own share theirs."""
        if all(getattr(options, member) is None for member in _LIMITS):
            return self._config
        return model_config(options.with_defaults(self._settings), self._settings)

    def _declared(self, members: Any) -> ModelDeclaration | None:
        if members is None:
            return None
        found = ModelDeclaration.from_members(members)
        return self._declarations.setdefault(found, found)
