"""Making models of registrations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from mms.core import Registry
from mms.errors import ModelNotFound, ServiceUnavailable
from mms.observe import events
from mms.repository import Repository
from mms.serving.dispatcher import Dispatcher
from mms.serving.model_client import ModelClient
from mms.serving.options import Outcome, RegisterOptions
from mms.serving.registration.composites import HostOperations, find_document, make_factories
from mms.serving.registration.copies import copied
from mms.serving.registration.model_factory import make_model
from mms.serving.registration.pipeline import Registration, Step, run_steps
from mms.serving.registration.steps import (
    AddToRegistry,
    CheckRequest,
    DetectInterface,
    FetchArchive,
    FetchModelFiles,
    MakeServedModel,
    OpenTracking,
    PrepareRequirements,
    ReadDeclaration,
    ReadLayout,
    ReportWithoutEffect,
)
from mms.serving.served import PooledModel, ServedModel
from mms.serving.tracking.model_tracking import Tracking
from mms.serving.workers.requirements import RequirementsInstaller

if TYPE_CHECKING:
    from mms.settings import Settings

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

        `renew` starts the workers of a model anew that has become a part of another one.
        """
        self.is_closed = False
        #: Those whose models are not in the registry yet.
        self._under_way: dict[int, Registration] = {}
        self._renew = renew
        self._registry = registry
        make = partial(make_model, settings, gpu_count, dispatcher)
        self.factories = make_factories(
            HostOperations(
                settings,
                registry,
                client,
                environ,
                repository.sources,
                make=make,
                add=self.add,
                prepare=self.prepare,
                register=register,
                discard=discard,
            )
        )
        self._steps: tuple[Step, ...] = (
            CheckRequest(settings, registry),
            FetchArchive(repository),
            ReadLayout(),
            MakeServedModel(settings, repository, self.factories, make, find_document),
            DetectInterface(),
            ReportWithoutEffect(settings),
            PrepareRequirements(settings, installer),
            FetchModelFiles(repository, registry),
            ReadDeclaration(settings),
            OpenTracking(settings, repository, tracking),
        )
        self._last_step = AddToRegistry(registry, self.check_open)

    def __repr__(self) -> str:
        return f"<Registrar for {self._registry!r}>"

    def check_open(self) -> None:
        """Raises ServiceUnavailable once the server ends."""
        if self.is_closed:
            raise ServiceUnavailable("The server is shutting down.", retry_after_s=1)

    async def add(
        self,
        options: RegisterOptions,
        default_name: str | None,
        replaced: ServedModel | None = None,
    ) -> ServedModel:
        """Register a model, in the place of `replaced` if there is one. Where that fails, nothing of it is left.

        Raises what is wrong with the registration or its archive, as an error of `mms.errors`.
        """
        registration = await self.prepare(options, default_name, replaced)
        try:
            await self.publish(registration)
        except BaseException:
            if registration.served.release is not None:
                await registration.served.release()
            await registration.undo_parts()
            raise
        return registration.served

    async def prepare(
        self, options: RegisterOptions, default_name: str | None, replaced: ServedModel | None
    ) -> Registration:
        """Do all of a registration but the last step: nobody finds the model. Raises as `add`."""
        if options.copy_of is not None:
            options = await copied(options, self._registry)
        registration = Registration(options, default_name, replaced)
        self._under_way[id(registration)] = registration
        try:
            await run_steps(self._steps, registration)
        finally:
            del self._under_way[id(registration)]
        return registration

    def find(self, name: str, version: str | None) -> ServedModel:
        """Return a registered model. Raises as the registry does, and tells how far a registration of the name is."""
        try:
            return self._registry.get(name, version)
        except ModelNotFound as error:
            coming = next((each for each in self._under_way.values() if each.name == name), None)
            if coming is None or self._registry.has_name(name):
                raise
            state = "" if coming.fetching is None else f": {coming.fetching}"
            raise ModelNotFound(f"{error.message}. It is being registered{state}.") from None

    def versions(self, name: str) -> list[ServedModel]:
        """Return all versions of a registered model. Raises as `find`."""
        self.find(name, None)
        return self._registry.versions(name)

    async def publish(self, registration: Registration) -> None:
        """Put a prepared model where requests find it, and those that come with it, or none of them.

        Raises as `add`; the models are still there then.
        """
        together = [*registration.prepared, registration]
        for each in together:
            self._last_step.check(each)
        for each in together:
            await self._last_step.run(each)
        self.assign_parts()
        for each in together:
            events.model_registered(each.served.name)

    def assign_parts(self) -> None:
        """Have models know what they are a part of, since a model that asks others has come or gone."""
        for factory in self.factories:
            for model in factory.assign():
                self._renew(model)

    async def close(self) -> None:
        for factory in self.factories:
            await factory.close()
