"""The steps of a registration, in the order in which they are taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from archiver.layouts import InvalidLayout, find_layout
from mms.core import Registry
from mms.errors import BadRequest, InvalidModel, ModelNotFound, NameTaken
from mms.interfaces import AUTO, INTERFACES, find_interface, part
from mms.repository import FetchedArchive, Repository
from mms.serving.options import RegisterOptions
from mms.serving.registration.interface_detection import detect_interface
from mms.serving.registration.model_config_file import with_file_and_setting
from mms.serving.registration.model_factory import change_model, check_names
from mms.serving.registration.path_policy import check_arguments
from mms.serving.registration.pipeline import CompositeFactory, Registration, Step
from mms.serving.registration.signature_rule import check_is_signed_alone
from mms.serving.registration.without_effect import without_effect
from mms.serving.served import PooledModel, ServedModel
from mms.serving.tracking.model_tracking import Tracking
from mms.serving.workers.requirements import RequirementsInstaller, model_requirements

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Makes a model with workers of a registration and its archive; its name where nothing else gives one.
MakeModel = Callable[[RegisterOptions, FetchedArchive, "str | None"], PooledModel]


class CheckRequest(Step):
    """Refuse what can be refused before anything is fetched."""

    def __init__(self, settings: Settings, registry: Registry[ServedModel]) -> None:
        self._settings = settings
        self._registry = registry

    async def run(self, registration: Registration) -> None:
        options = registration.requested
        name = options.model_name
        if name and registration.replaced is None and self._registry.has(name, None):
            # By a model without a version, beside which no other can stand.
            raise NameTaken(name)
        # A folder is what a model has that was checked with its parts; clients cannot name one.
        is_from_client = options.folder is None and not options.is_from_operator
        if self._settings.require_signature and is_from_client:
            check_is_signed_alone(options)


class FetchArchive(Step):
    """Bring the archive to a folder of this machine."""

    is_lasting = True

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def run(self, registration: Registration) -> None:
        options = registration.requested
        if options.url:
            registration.archive = await self._repository.fetch(
                options.url,
                sha256=options.sha256,
                is_from_operator=options.is_from_operator,
                watch=registration.note_fetch,
            )
        elif options.folder is not None:
            registration.archive = FetchedArchive(options.folder, None, True, None)
        else:
            registration.archive = await self._repository.make_empty()

    async def undo(self, registration: Registration) -> None:
        await self._repository.release(registration.archive)


class ReadLayout(Step):
    """Take what a folder in another server's layout says of its model for what a manifest would say."""

    async def run(self, registration: Registration) -> None:
        options, archive = registration.requested, registration.archive
        try:
            layout = await asyncio.to_thread(find_layout, archive.folder)
        except (InvalidLayout, OSError) as error:
            if options.handler or (archive.manifest is not None and archive.manifest.handler):
                # The file is there for what it declares, if for anything.
                return
            raise InvalidModel(f"{error}.") from None
        if layout is None:
            return
        place = PurePosixPath(options.url.partition("?")[0].rstrip("/"))
        manifest = layout.complete(archive.manifest, place.stem)
        registration.archive = replace(archive, manifest=manifest)
        if (options.handler or manifest.handler) == layout.handler:
            registration.layout = layout


class MakeServedModel(Step):
    """Make the model of what its archive, its file, the settings and the registration say, and register its parts."""

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        factories: Sequence[CompositeFactory],
        make_model: MakeModel,
        find_document: Callable[[Registration], None],
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._factories = factories
        self._make_model = make_model
        self._find_document = find_document

    async def run(self, registration: Registration) -> None:
        said = await asyncio.to_thread(
            with_file_and_setting,
            registration.requested,
            registration.archive,
            self._settings,
            registration.default_name,
            registration.layout,
        )
        registration.options = said.options
        try:
            registration.served = served = await self._make(registration)
        except BaseException:
            # Some of its parts may be registered.
            await self.undo(registration)
            raise
        served.worker_bounds = said.workers or served.worker_bounds
        if isinstance(served, PooledModel):
            served.model_config = said.document

    async def _make(self, registration: Registration) -> ServedModel:
        options, archive = registration.options, registration.archive
        sources = self._repository.sources
        names_paths = check_arguments(options, archive, self._repository.model_store, sources)
        self._find_document(registration)
        for factory in self._factories:
            composite = await factory.make(registration)
            if composite is not None:
                return composite
        served = self._make_model(options, archive, registration.default_name)
        if names_paths:
            served.path_rules = sources.for_workers(self._settings.max_download_size)
        return served

    async def undo(self, registration: Registration) -> None:
        await registration.undo_parts()


class DetectInterface(Step):
    """Find the contract that the code is written to, as far as that can be seen without importing it."""

    async def run(self, registration: Registration) -> None:
        await detect_interface(registration.served)


class ReportWithoutEffect(Step):
    """Tell of what was set and has no effect on this model, or refuse it where `strict_parameters` says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, registration: Registration) -> None:
        served, requested = registration.served, registration.requested
        served.without_effect = without_effect(requested, served)
        is_strict = self._settings.strict_parameters and not requested.is_from_operator
        if served.without_effect and is_strict:
            sentences = "; ".join(served.without_effect)
            raise BadRequest(f"{sentences} (strict_parameters).")
        for sentence in without_effect(registration.options, served):
            logger.warning("%s", sentence)


class PrepareRequirements(Step):
    """Find the packages that the archive asks for; they are installed before its first worker starts."""

    def __init__(self, settings: Settings, installer: RequirementsInstaller) -> None:
        self._settings = settings
        self._installer = installer

    async def run(self, registration: Registration) -> None:
        served = registration.served
        if served.is_composite:
            return
        served.requirements = await model_requirements(
            *(served.name, registration.archive, served.runtime),
            *(served.effective.install_requirements or "off",),
            self._installer,
            is_allowed=self._settings.allowed_requirements,
        )


class FetchModelFiles(Step):
    """Fetch what `model_uri` names."""

    is_lasting = True

    def __init__(self, repository: Repository, registry: Registry[ServedModel]) -> None:
        self._repository = repository
        self._registry = registry

    async def run(self, registration: Registration) -> None:
        served, options = registration.served, registration.options
        uri = served.options.component.model_uri
        if uri is None:
            return
        if self._registry.has(served.name, served.version) and registration.replaced is None:
            # Before the files are fetched; another registration may still be faster.
            raise NameTaken(served.name, served.version)
        served.model_files = await self._repository.model_uris.fetch(
            uri,
            served.archive.folder,
            sha256=None if options.url else options.sha256,
            is_from_operator=options.is_from_operator,
            watch=registration.note_fetch,
        )

    async def undo(self, registration: Registration) -> None:
        if registration.served.model_files is not None:
            await self._repository.model_uris.release(registration.served.model_files)


class ReadDeclaration(Step):
    """Read what the archive declares of the model's tensors."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, registration: Registration) -> None:
        served = registration.served
        if not isinstance(served, PooledModel):
            return
        for interface in INTERFACES:
            if interface.declaration:
                found = await asyncio.to_thread(part(interface.declaration), served)
                served.declaration = found or served.declaration
        self._batch_rows(registration, served)

    def _batch_rows(self, registration: Registration, served: PooledModel) -> None:
        """Have requests to a model that takes several rows at once come in batches, where nobody says how many."""
        declaration = served.declaration
        if declaration is None or registration.layout is not None or served.interface == AUTO:
            return
        joins = find_interface(served.interface).takes_handlers
        if joins and declaration.max_batch_size > 1 and served.options.asked.batch_size is None:
            change_model(self._settings, served, {"batch_size": declaration.max_batch_size})


class OpenTracking(Step):
    """Open the stream that records of requests go to."""

    is_lasting = True

    def __init__(self, settings: Settings, repository: Repository, tracking: Tracking) -> None:
        self._settings = settings
        self._repository = repository
        self._tracking = tracking

    async def run(self, registration: Registration) -> None:
        served = registration.served
        options = served.effective
        served.tracking = await self._tracking.open_for(
            served.name,
            served.version,
            options.tracking,
            served.archive.manifest,
            self._settings,
            None if options.is_from_operator else self._repository.sources,
        )

    async def undo(self, registration: Registration) -> None:
        if registration.served.tracking is not None:
            await self._tracking.close(registration.served.tracking)


class AddToRegistry(Step):
    """Put the model where requests find it. Nothing waits here: what is true at its start is true at its end."""

    def __init__(self, registry: Registry[ServedModel], check_open: Callable[[], None]) -> None:
        self._registry = registry
        self._check_open = check_open

    async def run(self, registration: Registration) -> None:
        self.check(registration)
        self._registry.add(registration.served, registration.replaced)

    def check(self, registration: Registration) -> None:
        """Raises what `run` would now."""
        served, replaced = registration.served, registration.replaced
        check_names(served)
        self._check_open()
        served.check_dependencies()
        if replaced is not None and not self._registry.holds(replaced):
            raise ModelNotFound(f"Model not found: {replaced.name}")
        self._registry.check_free(served, replaced)
