"""What the serving side needs of a cluster; `mms/cluster/` has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class SharedName(Protocol):
    """The registrations of one name, as entries of a state file, and the revision that they are of."""

    @property
    def revision(self) -> int: ...

    @property
    def entries(self) -> list[dict[str, Any]]: ...


class Cluster(Protocol):
    """The other fronts, and what is registered at all of them. Owned by the event loop."""

    #: The name of this front.
    front: str
    #: Up to which revision it knows what is registered.
    revision: int
    #: Whether what is registered can be changed now.
    is_owner_there: bool
    #: Called with the names that are new, and whether workers are shared otherwise by now.
    on_news: Callable[[list[str], bool], None]
    #: Called with a number, and the model, version and assignment of a front that borrows a worker.
    on_lend: Callable[[int, Mapping[str, Any]], None]

    @property
    def names(self) -> Mapping[str, SharedName]:
        """What is registered, by the names of models."""

    @property
    def sharing(self) -> tuple[str, ...]:
        """The fronts among which workers are shared."""

    def share(self, count: int, name: str) -> int:
        """Return how many of a model's workers are this front's."""

    async def change(self, entries: Mapping[str, list[dict[str, Any]]]) -> list[str]:
        """Have the cluster know these in place of what it knows of the names. Returns the names that are refused.

        Raises OSError where the owner does not answer.
        """

    def report_applied(self, revision: int, failures: Mapping[str, str]) -> None:
        """All up to a revision is registered here, but for the models that could not be, with the reason."""

    def answer_lend(self, number: int, refusal: str) -> None:
        """Say what came of a call of `on_lend`; empty: the borrower has been dialled."""
