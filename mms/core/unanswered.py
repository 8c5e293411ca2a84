"""What became of requests that had no answer of the handler."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class UnansweredCounts:
    """Requests that had no answer of the handler, counted by what became of them."""

    expired_queued: int = 0
    expired_running: int = 0
    cancelled_queued: int = 0
    cancelled_running: int = 0
    #: Refused: no room, no worker.
    refused: int = 0
    #: Refused or dropped, since they would have waited or had waited for too long.
    shed: int = 0

    def add(self, others: UnansweredCounts) -> None:
        """Count those of a model, too, whose place this one's has taken."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(others, each.name))

    def by_kind(self) -> dict[tuple[str, str], int]:
        """Return (what became of them, where they were) -> their number."""
        return {
            ("expired", "queue"): self.expired_queued,
            ("expired", "worker"): self.expired_running,
            ("cancelled", "queue"): self.cancelled_queued,
            ("cancelled", "worker"): self.cancelled_running,
            ("refused", "queue"): self.refused,
            ("shed", "queue"): self.shed,
        }
