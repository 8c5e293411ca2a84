"""What the fronts of a cluster agree on: which models there are, and which fronts. Decisions alone, time is passed in.

Each change has a number, the **revision**. A front that knows all up to one revision asks for what came after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

#: An entry of a state file (`mms/serving/state/`): one version of a model.
Entry = dict[str, Any]

#: Names that were unregistered and are remembered, so that nobody who has not heard of it brings them back.
MOST_GONE: Final = 10_000
#: A front that has said nothing for so long does not count for the sharing of workers, in seconds.
SILENCE_S: Final = 5.0


@dataclass(slots=True)
class Known:
    """The registrations of one name. Without entries: it was unregistered."""

    revision: int
    entries: list[Entry]

    def to_members(self) -> dict[str, Any]:
        return {"revision": self.revision, "entries": self.entries}

    @classmethod
    def of_members(cls, members: Mapping[str, Any]) -> Known:
        return cls(int(members["revision"]), list(members["entries"]))


@dataclass(slots=True)
class Member:
    """A front that has joined."""

    name: str
    #: What it listens on, by the names of the settings.
    addresses: dict[str, str] = field(default_factory=dict)
    heard_at: float = 0.0
    #: Up to which revision it has registered what there is.
    applied: int = 0
    #: Models that it could not make as they are wanted: name -> reason.
    failures: dict[str, str] = field(default_factory=dict)


class ClusterRegistry:
    """Of the owner. A front has a copy of the names."""

    def __init__(self) -> None:
        self.revision = 0
        self.names: dict[str, Known] = {}
        self.members: dict[str, Member] = {}
        #: The fronts that count, in the order in which workers are shared among them, and since which revision.
        self.sharing: tuple[str, ...] = ()
        self._sharing_revision = 0

    def __repr__(self) -> str:
        return f"<ClusterRegistry at {self.revision}: {len(self.names)} names, {len(self.members)} fronts>"

    # Models

    def merge(self, revision: int, names: Mapping[str, Known]) -> None:
        """Take over what a front, or a journal, knows that is newer: an owner that has begun anew learns it so."""
        self.revision = max(self.revision, revision)
        for name, known in names.items():
            mine = self.names.get(name)
            if mine is None or mine.revision < known.revision:
                self.names[name] = known
                self.revision = max(self.revision, known.revision)

    def change(
        self, bases: Mapping[str, int], entries: Mapping[str, list[Entry]]
    ) -> tuple[list[str], list[str]]:
        """Put entries in place of what is known of their names. Returns the names that changed, and the refused ones.

        `bases`: by name the revision that the front had seen of it. A name that another front has changed since is
        refused, unless it is what that front has made of it.
        """
        changed, refused = [], []
        for name, wanted in entries.items():
            known = self.names.get(name)
            if (known.entries if known is not None else []) == wanted:
                # Told again, since the first answer was lost; or two fronts started with the same models.
                continue
            if known is not None and known.revision > bases.get(name, 0):
                refused.append(name)
                continue
            self.revision += 1
            self.names[name] = Known(self.revision, wanted)
            changed.append(name)
        forget_oldest(self.names)
        return changed, refused

    def since(self, revision: int) -> dict[str, Any]:
        """Return what a front that knows all up to a revision is to be told, JSON-able."""
        told: dict[str, Any] = {
            "revision": self.revision,
            "names": {
                name: known.to_members()
                for name, known in self.names.items()
                if known.revision > revision
            },
        }
        if self._sharing_revision > revision:
            told["sharing"] = list(self.sharing)
        return told

    # Fronts

    def join(self, name: str, addresses: Mapping[str, str], now: float) -> None:
        """A front is there, or there again. Without addresses its server is not up, and it has no share."""
        member = self.members.setdefault(name, Member(name))
        member.addresses = dict(addresses)
        member.heard_at = now
        self.share(now)

    def hear(self, name: str, now: float) -> bool:
        """Note a sign of life. Returns whether the front is known; one that is not has to join."""
        member = self.members.get(name)
        if member is None:
            return False
        member.heard_at = now
        self.share(now)
        return True

    def note_applied(self, name: str, revision: int, failures: Mapping[str, str]) -> None:
        """A front has registered all up to a revision, but for the models that it could not."""
        member = self.members.get(name)
        if member is not None:
            member.applied = max(member.applied, revision)
            member.failures = dict(failures)

    def leave(self, name: str, now: float) -> None:
        """A front has ended."""
        self.members.pop(name, None)
        self.share(now)

    def share(self, now: float) -> bool:
        """Find out which fronts count. Returns whether that has changed."""
        sharing = tuple(
            sorted(
                m.name
                for m in self.members.values()
                if m.addresses and now - m.heard_at < SILENCE_S
            )
        )
        if sharing == self.sharing:
            return False
        self.sharing = sharing
        self.revision += 1
        self._sharing_revision = self.revision
        return True

    def lagging(self, revision: int) -> list[str]:
        """Return the fronts that count and have not registered all up to a revision."""
        return [name for name in self.sharing if self.members[name].applied < revision]

    # Journal

    def to_members(self) -> dict[str, Any]:
        """Return what outlives the owner, JSON-able."""
        return {
            "revision": self.revision,
            "names": {name: known.to_members() for name, known in self.names.items()},
        }


def forget_oldest(names: dict[str, Known]) -> None:
    """Remember no more than so many names that were unregistered, the newest ones."""
    if len(names) <= MOST_GONE:
        return
    gone = sorted((k.revision, name) for name, k in names.items() if not k.entries)
    for _, name in gone[: -MOST_GONE // 2] if len(gone) > MOST_GONE else ():
        del names[name]


def names_of_members(members: Mapping[str, Any]) -> dict[str, Known]:
    """Return what is known of names, as `to_members` and `since` tell it."""
    return {name: Known.of_members(known) for name, known in members.items()}


def share_of(count: int, name: str, front: str, sharing: Iterable[str]) -> int:
    """Return how many of a model's workers one of the fronts has.

    They are divided as evenly as can be. Which fronts have one more differs from model to model, and with a new front
    only that one may take them over. A front that does not count, being cut off or new, has as if it did.
    """
    fronts = _in_order(name, {*sharing, front})
    each, rest = divmod(count, len(fronts))
    return each + (fronts.index(front) < rest)


def first_front(name: str, front: str, sharing: Iterable[str]) -> str:
    """Return the front that has a worker of a model if any has one."""
    return _in_order(name, {*sharing} or {front})[0]


def _in_order(name: str, fronts: Iterable[str]) -> list[str]:
    """Return fronts in an order of the model's own, which stays as it is when fronts come and go."""
    # The same in each process, unlike hash().
    return sorted(fronts, key=lambda front: (crc32(f"{front}/{name}".encode()), front))
