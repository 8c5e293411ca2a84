"""The models that a server is given at its start."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from archiver.model_config import WorkerBounds, read_config_keys
from mms.core import Registry
from mms.errors import Conflict, ModelNotFound, NameTaken, ServerError
from mms.observe import events
from mms.repository import Repository
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_config_file import OF_SNAPSHOTS
from mms.serving.served import DependencyMissing, ServedModel
from mms.serving.state.registration_store import Restored
from mms.text.brief import brief
from mms.text.nearest import did_you_mean

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Makes a model of a registration; its name where nothing else gives one.
Add = Callable[[RegisterOptions, str | None], Awaitable[ServedModel]]
#: There is no archive.
MISSING = "missing"
#: Another archive of the same model has its name.
DUPLICATE = "duplicate"
#: It could not be registered for another reason.
REFUSED = "refused"
#: Those of which no model is registered.
NOT_REGISTERED = (MISSING, DUPLICATE, REFUSED)
#: Its workers could not load it.
FAILED = "failed"
LOADING = "loading"
#: Remote nodes of graphs become ready without a word, in seconds.
_LOOK_S: Final = 1.0
#: Starts workers of a model, at least and at most so many, which load in the background.
Start = Callable[[ServedModel, int, int], None]


@dataclass(frozen=True, slots=True)
class StartupProblem:
    """Why a model that was named at the start is not up; `state` is one of those above."""

    model: str
    state: str
    reason: str

    def __str__(self) -> str:
        return f"Model {self.model} {_SENTENCES[self.state]}: {self.reason}"


_SENTENCES = {
    MISSING: "is missing",
    DUPLICATE: "is left out",
    REFUSED: "could not be registered",
    FAILED: "could not be loaded",
    LOADING: "is loading",
}


@dataclass(frozen=True, slots=True)
class _NotRegistered:
    """An entry of `load_models` that is no model; `name`: of the model, as far as the entry tells it."""

    name: str
    url: str
    state: str
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
        live: Callable[[], Iterable[ServedModel]],
    ) -> None:
        """`live`: the models that have workers, or are to have some."""
        #: What is left of it.
        self.models: set[ServedModel] = set()
        self._not_registered: list[_NotRegistered] = []
        self._settings = settings
        self._repository = repository
        self._registry = registry
        self._add = add
        self._start = start
        self._live = live
        self._were_up = False

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
            self._note("ALL", "ALL", MISSING, error.message or type(error).__name__)
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
            options, workers = self._with_written(options, name, url)
            default_name = name_from_url(url)
            try:
                served = await self._add(options, default_name)
            except DependencyMissing as error:
                if (name, url) in early:
                    reason = error.message or type(error).__name__
                    self._note(name or default_name, url, REFUSED, reason)
                else:
                    early.append((name, url))
                continue
            except NameTaken as error:
                reason = self._reason_of(error, url)
                # With a state file, a client has seen the one that is there last.
                if not self._is_all and not restored.models:
                    raise Conflict(reason) from None
                self._note(url, url, DUPLICATE, reason)
                continue
            except ServerError as error:
                reason = error.message or type(error).__name__
                state = REFUSED
                if isinstance(error, ModelNotFound):
                    state = MISSING
                self._note(name or default_name, url, state, reason)
                continue
            except Exception as error:
                # A fault of ours concerns this model alone.
                logger.exception("Model %s could not be registered.", url)
                reason = f"{type(error).__name__}: {error}"
                self._note(name or default_name, url, REFUSED, reason)
                continue
            served.is_loaded_at_startup = True
            served.registration, served.startup_source = options, (name, url)
            self.models.add(served)
            bounds = workers or served.worker_bounds or WorkerBounds(count, count)
            self._start(served, bounds.least, bounds.most)

    def _with_written(
        self, options: RegisterOptions, name: str | None, url: str
    ) -> tuple[RegisterOptions, WorkerBounds | None]:
        """Return a registration with what an earlier server has written down of it, and how many workers it had."""
        said = self._settings.startup_options.get((name, url))
        if said is None:
            return options, None
        config = read_config_keys(said, besides=OF_SNAPSHOTS)
        for problem in config.problems:
            logger.warning("The snapshot, %s: %s", brief(name), problem)
        # A client's registration has no more rights than it had.
        is_from_operator = said.get("fromOperator") is not False
        values = config.values | {"is_from_operator": is_from_operator}
        return options.with_values(**values), config.workers

    def tell_of_idle_settings(self) -> None:
        """Say which names of the setting `models` are no model so far: a name may be wrong, or its model come later."""
        names = {served.name for served in self._registry.all()}
        failed = {entry.name for entry in self._not_registered}
        for name in self._settings.models or {}:
            if name in names or name in failed:
                continue
            hint = did_you_mean(name, names)
            logger.log(
                logging.WARNING if hint else logging.INFO,
                "The setting models names %s, and no model of that name is registered%s",
                *(brief(name), hint or "; it holds when one is."),
            )

    def problems(self) -> list[StartupProblem]:
        """Those of what was named at the start that are not up now."""
        problems = self._missing() if self._not_registered else []
        for served in self._live():
            if not served.is_loaded_at_startup or not served.is_wanted or served.is_ready:
                continue
            failure = served.load_failure
            if failure is not None:
                problems.append(StartupProblem(served.name, FAILED, failure.error))
            else:
                reason = served.problems()[0].partition(": ")[2] or "it has no workers"
                problems.append(StartupProblem(served.name, LOADING, reason))
        return problems

    def _missing(self) -> list[StartupProblem]:
        there = {served.name for served in self._registry.all()}
        there |= {served.url for served in self._registry.all()}
        return [
            StartupProblem(entry.name, entry.state, entry.reason)
            for entry in self._not_registered
            if entry.name not in there and entry.url not in there
        ]

    def remaining_problems(self) -> list[str]:
        """Return the same in sentences; nothing for good once all were up."""
        if self._were_up:
            return []
        problems = [str(problem) for problem in self.problems()]
        self._were_up = not problems
        return problems

    async def settled(
        self, timeout_s: float, load_ended: Callable[[], Awaitable[None]]
    ) -> list[StartupProblem]:
        """Wait until all has loaded or failed, or for so long. Return what is not up then."""
        deadline = time.monotonic() + timeout_s
        while True:
            problems = self.problems()
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not any(problem.state == LOADING for problem in problems):
                return problems
            try:
                await asyncio.wait_for(load_ended(), min(left_s, _LOOK_S))
            except asyncio.TimeoutError:
                continue

    def _reason_of(self, error: NameTaken, url: str) -> str:
        """Why an archive is left out whose name is taken, with the one that has it."""
        for served in self.models:
            if served.name == error.model_name and served.url == url:
                return f"{error.message} load_models names {url} twice."
            if served.name == error.model_name:
                return f"{error.message} {served.url}, which is loaded, and {url} have the same model name and version."
        return error.message or "Conflict"

    def _note(self, name: str, url: str, state: str, reason: str) -> None:
        events.model_not_loaded(url, reason)
        self._not_registered.append(_NotRegistered(name, url, state, reason))


def name_from_url(url: str) -> str:
    """Return the name of a model whose manifest has none, as MMS derives it at start-up."""
    name = PurePosixPath(url.rstrip("/")).name
    if ".model" in name or ".mar" in name:
        name = name.rpartition(".")[0]
    return re.sub(r"\W", "_", name, flags=re.ASCII)
