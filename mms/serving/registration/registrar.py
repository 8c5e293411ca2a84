"""Making models of registrations: a pipeline of steps, each of which is undone where a later one fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from mms.core import Registry
from mms.errors import BadRequest, NameTaken, ServiceUnavailable
from mms.interfaces.mlrun.front.specs import MlrunSpecs
from mms.interfaces.seldon.front.graphs import Graphs, graph_document
from mms.observe import events
from mms.repository import FetchedArchive, Repository
from mms.serving.dispatcher import Dispatcher
from mms.serving.model_client import ModelClient
from mms.serving.options import Outcome, RegisterOptions
from mms.serving.registration.interface_detection import detect_interface
from mms.serving.registration.model_config_file import with_file_and_setting
from mms.serving.registration.model_factory import check_names, make_model
from mms.serving.registration.path_policy import check_arguments
from mms.serving.registration.signature_rule import check_is_signed_alone
from mms.serving.registration.without_effect import without_effect
from mms.serving.served import PooledModel, ServedModel
from mms.serving.tracking.model_tracking import Tracking
from mms.serving.workers.requirements import RequirementsInstaller, model_requirements

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Registers a model and starts its workers.
Register = Callable[[RegisterOptions], Awaitable[tuple[ServedModel, Outcome]]]
#: Removes a model that its registration is not to leave behind.
Discard = Callable[[ServedModel], Awaitable[None]]


class Registrar:
    """Adds models to the registry, without workers yet. Called on the event loop."""

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        registry: Registry[ServedModel],
        tracking: Tracking,
        client: ModelClient,
        register: Register,
        discard: Discard,
        environ: Mapping[str, str],
        gpu_count: int,
        dispatcher: Dispatcher,
        renew: Callable[[PooledModel], None],
        installer: RequirementsInstaller,
    ) -> None:
        """`client`: by which graphs ask their models; `register` and `discard`: for the models that they are made of.

        `renew` starts the workers of a model anew that a graph has become the owner of.
        """
        self.is_closed = False
        self._renew = renew
        self._settings = settings
        self._repository = repository
        self._registry = registry
        self._tracking = tracking
        self._installer = installer
        self._make = partial(make_model, settings, gpu_count, dispatcher)
        self.functions = MlrunSpecs(settings, registry, client, self._make, self.add, discard)
        self.graphs = Graphs(
            settings, registry, client, register, discard, environ, repository.sources
        )

    def __repr__(self) -> str:
        return f"<Registrar for {self._registry!r}>"

    def check_open(self) -> None:
        """Raises ServiceUnavailable once the server ends."""
        if self.is_closed:
            raise ServiceUnavailable("The server is shutting down.", retry_after_s=1)

    async def add(self, options: RegisterOptions, default_name: str | None) -> ServedModel:
        """Register a model. Where that fails, nothing of it is left.

        Raises what is wrong with the registration or its archive, as an error of `mms.errors`.
        """
        if options.model_name and self._registry.has(options.model_name, None):
            # By a model without a version, beside which no other can stand.
            raise NameTaken(options.model_name)
        # A folder is what a function that is checked itself brings along; clients cannot name one.
        is_from_client = options.folder is None and not options.is_from_operator
        if self._settings.require_signature and is_from_client:
            check_is_signed_alone(options)
        async with AsyncExitStack() as undo:
            # What the model holds while it is registered.
            resources = await undo.enter_async_context(AsyncExitStack())
            archive = await self._archive(options)
            resources.push_async_callback(self._repository.release, archive)
            said = await asyncio.to_thread(
                with_file_and_setting, options, archive, self._settings, default_name
            )
            asked, options = options, said.options
            served = await self._made(options, archive, default_name, undo)
            served.worker_bounds = said.workers or served.worker_bounds
            if isinstance(served, PooledModel):
                served.model_config = said.document
            await detect_interface(served)
            self._check_effects(asked, options, served)
            if not served.is_composite:
                served.requirements = await model_requirements(
                    *(served.name, archive, served.runtime),
                    *(served.effective.install_requirements or "off",),
                    self._installer,
                    is_allowed=self._settings.allowed_requirements,
                )
            await self._fetch_files(served, options, resources)
            await self._open_tracking(served, resources)
            check_names(served)
            # From here on nothing waits: what is true now is true when the model is there.
            self.check_open()
            served.check_dependencies()
            self._registry.add(served)
            served.resources = resources
            undo.pop_all()
        for renewed in self.graphs.assign():
            self._renew(renewed)
        events.model_registered(served.name)
        return served

    def _check_effects(
        self, asked: RegisterOptions, options: RegisterOptions, served: ServedModel
    ) -> None:
        """Tell of what has no effect on this model. `options`: with what file and setting add to what was asked.

        Raises BadRequest for what was asked where `strict_parameters` refuses it.
        """
        served.without_effect = without_effect(asked, served)
        if (
            served.without_effect
            and self._settings.strict_parameters
            and not asked.is_from_operator
        ):
            sentences = "; ".join(served.without_effect)
            raise BadRequest(f"{sentences} (strict_parameters).")
        for sentence in without_effect(options, served):
            logger.warning("%s", sentence)

    async def _archive(self, options: RegisterOptions) -> FetchedArchive:
        if options.url:
            return await self._repository.fetch(
                options.url, sha256=options.sha256, is_from_operator=options.is_from_operator
            )
        if options.folder is not None:
            return FetchedArchive(options.folder, None, True, None)
        return await self._repository.make_empty()

    async def _made(
        self,
        options: RegisterOptions,
        archive: FetchedArchive,
        default_name: str | None,
        undo: AsyncExitStack,
    ) -> ServedModel:
        """A model of an archive; those that it brings along are registered already, and `undo` removes them."""
        sources = self._repository.sources
        names_places = check_arguments(options, archive, self._repository.model_store, sources)
        document = graph_document(archive, options)
        function = await self.functions.document_of(document, options)
        if function is not None:
            served = await self.functions.make(function, options, archive, default_name, undo)
        elif document is not None:
            if options.tracking:
                raise BadRequest(
                    "A graph has no records of its own: track the models of its nodes."
                )
            served = await self.graphs.make(document, options, archive, default_name, undo)
        else:
            served = self._make(options, archive, default_name)
        if names_places and isinstance(served, PooledModel):
            served.path_rules = sources.for_workers(self._settings.max_download_size)
        return served

    async def _fetch_files(
        self, served: ServedModel, options: RegisterOptions, resources: AsyncExitStack
    ) -> None:
        """Fetch what `model_uri` names."""
        uri = served.options.component.model_uri
        if uri is None:
            return
        if self._registry.has(served.name, served.version):
            # Before the files are fetched; another registration may still be faster.
            raise NameTaken(served.name)
        served.model_files = await self._repository.model_uris.fetch(
            uri,
            served.archive.folder,
            sha256=None if options.url else options.sha256,
            is_from_operator=options.is_from_operator,
        )
        resources.push_async_callback(self._repository.model_uris.release, served.model_files)

    async def _open_tracking(self, served: ServedModel, resources: AsyncExitStack) -> None:
        options = served.effective
        tracking = await self._tracking.open_for(
            served.name,
            served.version,
            options.tracking,
            served.archive.manifest,
            self._settings,
            None if options.is_from_operator else self._repository.sources,
        )
        if tracking is None:
            return
        resources.push_async_callback(self._tracking.close, tracking)
        served.tracking = tracking
