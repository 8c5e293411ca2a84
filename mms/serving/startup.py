"""The models that a server is given at its start."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from archiver.model_config import WorkerBounds
from mms.core import Registry
from mms.errors import Conflict, NameTaken, ServerError
from mms.interfaces.seldon.front.graphs import NodeMissing
from mms.observe import events
from mms.repository import Repository
from mms.serving.health import model_problems
from mms.serving.kept_models import Restored
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Makes a model of a registration; its name where nothing else gives one.
Add = Callable[[RegisterOptions, str | None], Awaitable[ServedModel]]
#: It could not be registered.
MISSING = "missing"
#: Its workers could not load it.
FAILED = "failed"
LOADING = "loading"
#: Starts workers of a model, at least and at most so many, which load in the background.
Start = Callable[[ServedModel, int, int], None]


@dataclass(frozen=True, slots=True)
class StartupProblem:
    """Why a model that was named at the start is not up; `state` is one of the three above."""

    model: str
    state: str
    reason: str

    def __str__(self) -> str:
        what = "could not be loaded" if self.state == FAILED else f"is {self.state}"
        return f"Model {self.model} {what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Missing:
    """An entry of `load_models` that could not be registered; `name`: of the model, as far as the entry tells it."""

    name: str
    url: str
    reason: str


class StartupModels:
    """Loads what `load_models` names, and knows which of it is left, and which is not up."""

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        registry: Registry[ServedModel],
        add: Add,
        start: Start,
    ) -> None:
        #: What is left of it.
        self.models: set[ServedModel] = set()
        self._missing: list[_Missing] = []
        self._settings = settings
        self._repository = repository
        self._registry = registry
        self._add = add
        self._start = start

    def __repr__(self) -> str:
        return f"<StartupModels {', '.join(sorted({served.name for served in self.models}))}>"

    @property
    def only_name(self) -> str | None:
        """Of the only one that is left."""
        only: str | None = None
        for served in self.models:
            if only not in (None, served.name):
                return None
            only = served.name
        return only

    @property
    def _is_all(self) -> bool:
        return any(
            name is None and url.upper() == "ALL" for name, url in self._settings.startup_models
        )

    async def entries(self) -> list[tuple[str | None, str]]:
        """(name, url) of what `load_models` names, with the store's archives for ALL."""
        if not self._is_all:
            return list(self._settings.startup_models)
        try:
            return [(None, url) for url in await asyncio.to_thread(self._repository.list_store)]
        except ServerError as error:
            self._note_missing("ALL", "ALL", error.message or type(error).__name__)
            return []

    async def load(
        self, count: int, entries: list[tuple[str | None, str]], restored: Restored
    ) -> None:
        """Register them, with so many workers each. One that fails is a warning; workers start in the background.

        `restored`: what a state file has brought back, which goes before. Raises Conflict for a name that `load_models`
        itself gives twice.
        """
        for served in restored.models:
            served.is_loaded_at_startup = True
            if served.startup_source is not None:
                self.models.add(served)
        entries = [entry for entry in entries if entry not in restored.sources]
        # A graph may be named before its nodes.
        early: list[tuple[str | None, str]] = []
        for name, url in itertools.chain(entries, early):
            options = RegisterOptions(
                url,
                is_from_operator=True,
                model_name=name,
                initial_workers=count,
                synchronous=False,
            )
            default_name = name_from_url(url)
            try:
                served = await self._add(options, default_name)
            except NodeMissing as error:
                if (name, url) in early:
                    self._note_missing(name or default_name, url, error.message or "NodeMissing")
                else:
                    early.append((name, url))
                continue
            except NameTaken as error:
                reason = self._reason_of(error, url)
                # With a state file, a client has seen the one that is there last.
                if not self._is_all and not restored.models:
                    raise Conflict(reason) from None
                self._note_missing(url, url, reason)
                continue
            except ServerError as error:
                reason = error.message or type(error).__name__
                self._note_missing(name or default_name, url, reason)
                continue
            except Exception as error:
                # A fault of ours concerns this model alone.
                logger.exception("Model %s could not be registered.", url)
                self._note_missing(name or default_name, url, f"{type(error).__name__}: {error}")
                continue
            served.is_loaded_at_startup = True
            served.registration, served.startup_source = options, (name, url)
            self.models.add(served)
            bounds = served.worker_bounds or WorkerBounds(count, count)
            self._start(served, bounds.least, bounds.most)

    def problems(self) -> list[StartupProblem]:
        """Those of what was named at the start that are not up now."""
        there = {served.name for served in self._registry.all()}
        there |= {served.url for served in self._registry.all()}
        problems = [
            StartupProblem(missing.name, MISSING, missing.reason)
            for missing in self._missing
            if missing.name not in there and missing.url not in there
        ]
        for served in self._registry.all():
            is_wanted = served.pool.min_workers > 0 or served.graph is not None
            if not served.is_loaded_at_startup or not is_wanted or served.is_ready:
                continue
            failure = served.load_failure
            if failure is not None:
                problems.append(StartupProblem(served.name, FAILED, failure.error))
            else:
                reason = model_problems(served)[0].partition(": ")[2] or "it has no workers"
                problems.append(StartupProblem(served.name, LOADING, reason))
        return problems

    def _reason_of(self, error: NameTaken, url: str) -> str:
        """Why an archive is left out whose name is taken, with the one that has it."""
        for served in self.models:
            if served.name == error.model_name:
                return f"{error.message} {served.url}, which is loaded, and {url} have the same model name and version."
        return error.message or "Conflict"

    def _note_missing(self, name: str, url: str, reason: str) -> None:
        events.model_not_loaded(url, reason)
        self._missing.append(_Missing(name, url, reason))


def name_from_url(url: str) -> str:
    """The name of a model whose manifest has none, as MMS derives it at start-up."""
    name = PurePosixPath(url.rstrip("/")).name
    if ".model" in name or ".mar" in name:
        name = name.rpartition(".")[0]
    return re.sub(r"\W", "_", name, flags=re.ASCII)
