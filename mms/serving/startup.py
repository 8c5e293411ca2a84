"""The models that a server is given at its start."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mms.errors import Conflict, ServerError
from mms.observe import events
from mms.repository import Repository
from mms.serving.graphs import NodeMissing
from mms.serving.kept_models import Restored
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Makes a model of a registration; its name where nothing else gives one.
Add = Callable[[RegisterOptions, str | None], Awaitable[ServedModel]]
#: Starts so many workers of a model, which load in the background.
Start = Callable[[ServedModel, int], None]


class StartupModels:
    """Loads what `load_models` names, and knows which of it is left."""

    def __init__(self, settings: Settings, repository: Repository, add: Add, start: Start) -> None:
        #: What is left of it.
        self.models: set[ServedModel] = set()
        self._settings = settings
        self._repository = repository
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

    async def entries(self) -> list[tuple[str | None, str]]:
        """(name, url) of what `load_models` names, with the store's archives for ALL."""
        entries = list(self._settings.startup_models)
        if any(name is None and url.upper() == "ALL" for name, url in entries):
            try:
                entries = [
                    (None, url) for url in await asyncio.to_thread(self._repository.list_store)
                ]
            except ServerError as error:
                logger.warning("%s", error.message)
                entries = []
        return entries

    async def load(
        self, count: int, entries: list[tuple[str | None, str]], restored: Restored
    ) -> None:
        """Register them, with so many workers each. One that fails is a warning; workers start in the background.

        `restored`: what a state file has brought back, which goes before. Raises Conflict for a name that comes twice.
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
            try:
                served = await self._add(options, name_from_url(url))
            except Conflict as error:
                if not restored.models:
                    raise
                # The state file has a model of that name from elsewhere, which a client has seen last.
                events.model_not_loaded(url, error.message or "Conflict")
                continue
            except ServerError as error:
                if isinstance(error, NodeMissing) and (name, url) not in early:
                    early.append((name, url))
                    continue
                events.model_not_loaded(url, error.message or type(error).__name__)
                continue
            served.is_loaded_at_startup = True
            served.registration, served.startup_source = options, (name, url)
            self.models.add(served)
            self._start(served, count)


def name_from_url(url: str) -> str:
    """The name of a model whose manifest has none, as MMS derives it at start-up."""
    name = PurePosixPath(url.rstrip("/")).name
    if ".model" in name or ".mar" in name:
        name = name.rpartition(".")[0]
    return re.sub(r"\W", "_", name, flags=re.ASCII)
