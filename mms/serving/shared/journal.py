"""Registrations that the fronts of a cluster share, as the store of registrations keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mms.errors import ConfigurationError
from mms.serving.shared.cluster import Cluster
from mms.serving.state.state_file import Journal, StateFile, StateLines

if TYPE_CHECKING:
    from mms.settings import Settings


class SharedJournal:
    """All methods block, and are called by other threads than the event loop's, as those of a state file."""

    path = Path("registry of the cluster")

    def __init__(self, cluster: Cluster, loop: asyncio.AbstractEventLoop) -> None:
        """`loop`: the cluster's."""
        self._cluster = cluster
        self._loop = loop

    def __repr__(self) -> str:
        return f"<SharedJournal {self._cluster!r}>"

    def lock(self) -> None:
        """Nothing is to be taken: whose change comes first is the owner's to decide."""

    def unlock(self) -> None:
        return

    def read(self) -> StateLines:
        known = sorted(self._cluster.names.values(), key=lambda each: each.revision)
        entries = [entry for each in known for entry in each.entries]
        return StateLines(tuple(enumerate(entries, 1)))

    def exists(self) -> bool:
        return True

    def change(self, entries: Mapping[str, list[dict[str, Any]]]) -> Collection[str]:
        """Have all fronts know these in place of what is known of the names. Returns the names that are refused.

        Raises OSError where the owner does not answer.
        """
        changing = asyncio.run_coroutine_threadsafe(self._cluster.change(entries), self._loop)
        return changing.result()

    def set_aside(self, broken: Iterable[tuple[int, str]]) -> Path:
        raise OSError("it stays in the registry")


def journal_of(settings: Settings, cluster: Cluster | None) -> Journal | None:
    """Return where registrations are kept: by the cluster, else in the file that a setting names; None: nowhere.

    Raises ConfigurationError where a server is to do both.
    """
    if cluster is not None:
        if settings.state_file:
            raise ConfigurationError(
                f"Invalid configuration: {settings.quoted('state_file')} has no place in a cluster, whose owner keeps "
                "what is registered: mms cluster up --state-file says where."
            )
        return SharedJournal(cluster, asyncio.get_running_loop())
    return StateFile(Path(settings.state_file)) if settings.state_file else None
