"""How a registration becomes a model: steps with names, each of which can be undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from archiver.layouts import Layout
from mms.repository import FetchedArchive
from mms.repository.download import FetchProgress
from mms.serving.options import RegisterOptions
from mms.serving.served import PooledModel, ServedModel

if TYPE_CHECKING:
    from mms.observe.metrics.prometheus import FamilyMaker


@dataclass(slots=True)
class Registration:
    """One registration on its way, and what its steps have found so far."""

    #: As it was asked for.
    requested: RegisterOptions
    #: Of a model that nothing else gives a name.
    default_name: str | None
    #: The registered model that it becomes, if it does.
    replaced: ServedModel | None = None
    #: With what the archive's file and the settings say where the registration says nothing.
    options: RegisterOptions = field(init=False)
    archive: FetchedArchive = field(init=False)
    #: What its folder is in the layout of another server, if it is one that its handler is of.
    layout: Layout | None = None
    #: The file of the archive that makes it a model of other models, if one does.
    document: Path | None = field(init=False)
    served: ServedModel = field(init=False)
    #: How far what it fetches is; None: it fetches nothing from elsewhere.
    fetching: FetchProgress | None = None
    #: Those of models that come with it and take the place of its predecessor's, which are published together.
    prepared: list[Registration] = field(default_factory=list)
    #: Removes the models that were registered for this one. Most have none, and there may be many models.
    _parts: AsyncExitStack | None = None

    def __post_init__(self) -> None:
        self.options = self.requested

    def note_fetch(self, progress: FetchProgress) -> None:
        """Something is fetched for it."""
        self.fetching = progress

    @property
    def name(self) -> str:
        """The name that its model is to have, as far as that can be told before its archive is there."""
        url = self.requested.url.partition("?")[0].rstrip("/")
        return self.requested.model_name or self.default_name or PurePosixPath(url).stem

    @property
    def parts(self) -> AsyncExitStack:
        """What removes the models that were registered for this one."""
        if self._parts is None:
            self._parts = AsyncExitStack()
        return self._parts

    async def undo_parts(self) -> None:
        if self._parts is not None:
            await self._parts.aclose()


class Step(ABC):
    """One step of all registrations."""

    #: Whether what it did lasts as long as the model, and is undone when that goes.
    is_lasting = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @abstractmethod
    async def run(self, registration: Registration) -> None:
        """Raises what is wrong with the registration, as an error of `mms.errors`; nothing is left of it then."""

    async def undo(self, registration: Registration) -> None:
        """Take back what it did, since a later step has failed, or the model goes."""
        return


class CompositeFactory(ABC):
    """Makes models of documents that say which other models answer. There is one for each interface that has such."""

    #: What it measures, for Prometheus.
    collectors: Sequence[FamilyMaker] = ()

    @abstractmethod
    async def make(self, registration: Registration) -> ServedModel | None:
        """Return the model of a registration, its parts registered already; None for one that is not of this kind.

        What removes its parts goes on `registration.parts`. Raises as `Step.run`.
        """

    def assign(self) -> list[PooledModel]:
        """Tell models what they are a part of by now. Return those whose workers have to start anew for it."""
        return []

    def owned_nodes(self, served: ServedModel) -> list[PooledModel]:
        """Return the models that have become parts of this one."""
        return []

    async def close(self) -> None:
        """Give up connections. Call after all models have drained."""
        return


@dataclass(frozen=True, slots=True)
class HeldResources:
    """What a model holds as long as it is registered: what some steps of its registration did."""

    registration: Registration
    steps: Sequence[Step]

    async def release(self) -> None:
        async with AsyncExitStack() as undo:
            for step in self.steps:
                undo.push_async_callback(step.undo, self.registration)


async def run_steps(steps: Sequence[Step], registration: Registration) -> None:
    """Take all steps. Where one fails, those before it are undone, the last one first, and its error is raised."""
    async with AsyncExitStack() as undo:
        for step in steps:
            await step.run(registration)
            undo.push_async_callback(step.undo, registration)
        # Nothing waits after the last step: the model is there, with what it holds.
        lasting = tuple(step for step in steps if step.is_lasting)
        registration.served.release = HeldResources(registration, lasting).release
        undo.pop_all()
