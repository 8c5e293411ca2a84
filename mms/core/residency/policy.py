"""Which idle models give way to a load that does not fit into the limit of memory, and which loads cannot fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: A load that has waited for so long for models that are busy all the time makes one of them give way, after what it
#: has accepted, in seconds.
PATIENCE_S: Final = 5.0
#: How often it is told of the same two models that they take turns, in seconds.
_TELL_S: Final = 600.0
#: Models of which is remembered what they made room for.
_MOST_REMEMBERED: Final = 10_000

#: The key of what the server's own processes hold, which is no model's.
_OWN: Final = ""

#: Why a model gives way.
FOR_LOAD: Final = "load"
FOR_GROWTH: Final = "growth"
FOR_TURN: Final = "turn"
REASONS: Final = (FOR_LOAD, FOR_GROWTH, FOR_TURN)


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that holds memory, as it is now. Times are of `time.monotonic()`."""

    #: Of its registration alone; its name may be that of its successor, too.
    key: str
    name: str
    size_bytes: int
    #: When its last request came.
    used_at: float
    #: When the last of its loads ended.
    loaded_at: float
    #: What it would cost to load it again, in seconds.
    load_s: float
    #: Its requests in a second of late.
    rate: float
    #: Nothing is queued, runs or loads.
    is_idle: bool
    #: A load is under way.
    is_loading: bool
    #: It may have no workers, and is not pinned.
    may_leave: bool
    #: The part of its size that loads were promised of which nobody knows yet what they take.
    guessed_bytes: int = 0

    @classmethod
    def of_server(cls, size_bytes: int) -> Resident:
        """Return what the server's own processes hold, as a model that has to stay."""
        return cls(
            key=_OWN,
            name="the server itself",
            size_bytes=size_bytes,
            used_at=0.0,
            loaded_at=0.0,
            load_s=0.0,
            rate=0.0,
            is_idle=False,
            is_loading=False,
            may_leave=False,
        )

    @property
    def worth(self) -> float:
        """Seconds of loads that it is expected to save in a second, by what it holds."""
        return self.load_s * self.rate / max(self.size_bytes, 1)


@dataclass(frozen=True, slots=True)
class Eviction:
    """A model that is to give way, and why."""

    resident: Resident
    reason: str
    line: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a load: it may begin once `evicted` are gone, it has to wait, or it cannot fit at all."""

    is_admitted: bool = False
    #: What counts as held by it until it is measured.
    size_bytes: int = 0
    evicted: Sequence[Eviction] = ()
    #: What it waits for, in words.
    waits_for: str = ""
    #: Why it cannot fit, in words with the numbers.
    refusal: str = ""
    #: A model that it takes turns with, which nobody has been told of late.
    alternates_with: str = ""


class ResidencyPolicy:
    """Decides for all models of a server. Pure: what holds memory is passed in."""

    def __init__(
        self, limit_bytes: int, min_residence_s: float, limit_name: str = "memory_limit"
    ) -> None:
        """`min_residence_s`: how long a model stays after its load, as long as others can give way.

        `limit_name`: what sets the limit, for messages.
        """
        self.limit_name = limit_name
        is_machine = limit_name == "memory_limit"
        self._where = "" if is_machine else f" of {limit_name}"
        # The server's own processes hold nothing of a GPU.
        self._stay = f"{'the server itself and ' if is_machine else ''}models that have to stay"
        self.limit_bytes = limit_bytes
        self._min_residence_s = min_residence_s
        #: By the model that gave way last: which one it made room for.
        self._gave_way: dict[str, str] = {}
        #: (model, model) that take turns -> when that was told last.
        self._told: dict[tuple[str, str], float] = {}
        #: Since when more is held than may be, and when that was told last.
        self._over_since: float | None = None
        self._over_told = -_TELL_S

    def __repr__(self) -> str:
        return f"<ResidencyPolicy {self.limit_bytes} bytes>"

    @property
    def limit(self) -> str:
        """The limit in words with its number."""
        return f"{self.limit_name} ({_mb(self.limit_bytes)})"

    def admit(
        self,
        key: str,
        name: str,
        needed_bytes: int,
        residents: Sequence[Resident],
        now: float,
        *,
        is_guess: bool = False,
        waiting_s: float = 0.0,
    ) -> Admission:
        """Decide on a load of a model that takes so much. `waiting_s`: how long it has waited.

        `is_guess`: the model has not been loaded before. A guess makes others give way; it is no reason for a refusal
        where there is any room, and neither are the guesses of other loads.
        """
        fixed = sum(each.size_bytes for each in residents if not each.may_leave or each.key == key)
        known = self.known_to_stay(residents, key)
        if refusal := self.misfit(needed_bytes, known, is_guess=is_guess):
            return Admission(refusal=refusal)
        if fixed + needed_bytes > self.limit_bytes:
            if not is_guess or fixed >= self.limit_bytes:
                return Admission(
                    waits_for=f"waits for memory: {_mb(fixed)} of {_mb(self.limit_bytes)} ({self.limit_name}) "
                    f"are held, it takes {_mb(needed_bytes)}, and what others take that load is not known yet"
                )
            needed_bytes = self.limit_bytes - fixed
        total = sum(each.size_bytes for each in residents)
        over = total + needed_bytes - self.limit_bytes
        if over <= 0:
            return Admission(is_admitted=True, size_bytes=needed_bytes)
        others = [each for each in residents if each.may_leave and each.key != key]
        chosen = self._choose([each for each in others if each.is_idle], over, now)
        reason = FOR_LOAD
        if chosen is None and waiting_s >= PATIENCE_S:
            # Those that have just loaded keep their time: whoever drives them out at once has served nobody.
            used = [each for each in others if each.is_idle or self._has_stayed(each, now)]
            chosen = self._choose(used, over, now)
            reason = FOR_TURN
        if chosen is None:
            return Admission(
                waits_for=f"waits for memory: {_mb(total)} of {_mb(self.limit_bytes)} ({self.limit_name}) are held, "
                f"it takes {_mb(needed_bytes)}, and the models that may give way are busy"
            )
        partner = self._note_turns(name, [each.name for each in chosen], now)
        held = f"{_mb(total)} of {_mb(self.limit_bytes)} are held{self._where}"
        about = f"{name}, which takes {_mb(needed_bytes)}: {held}"
        evicted = [Eviction(each, reason, self._line(each, about, now)) for each in chosen]
        return Admission(
            is_admitted=True, size_bytes=needed_bytes, evicted=evicted, alternates_with=partner
        )

    @staticmethod
    def known_to_stay(residents: Iterable[Resident], key: str) -> int:
        """Return what is known to be held beside a new worker of a model: by itself, and by those that have to stay."""
        return sum(
            each.size_bytes - each.guessed_bytes
            for each in residents
            if not each.may_leave or each.key == key
        )

    def misfit(self, needed_bytes: int, fixed_bytes: int, *, is_guess: bool = False) -> str:
        """Return why a load that takes so much cannot fit beside what has to stay; empty where it can."""
        if is_guess:
            # It may take anything.
            needed_bytes = 1
        if fixed_bytes + needed_bytes <= self.limit_bytes:
            return ""
        if is_guess:
            return (
                f"there is no memory: {_mb(fixed_bytes)} of {_mb(self.limit_bytes)} ({self.limit_name}) are held by "
                f"{self._stay}"
            )
        beside = f", and {_mb(fixed_bytes)} are held by {self._stay}" if fixed_bytes else ""
        return f"it takes {_mb(needed_bytes)} of memory, {self.limit_name} is {_mb(self.limit_bytes)}{beside}"

    def shrink(
        self, residents: Sequence[Resident], now: float, keep: str = ""
    ) -> Sequence[Eviction]:
        """Return which idle models give way where all hold more than the limit. `keep`: of one that has just loaded."""
        total = sum(each.size_bytes for each in residents)
        over = total - self.limit_bytes
        if over <= 0:
            return ()
        idle = [each for each in residents if each.may_leave and each.is_idle and each.key != keep]
        chosen = self._choose(idle, over, now)
        if chosen is None:
            # All of them are not enough, but the less is held the better.
            chosen = idle
        about = f"what has grown: {_mb(total)} of {_mb(self.limit_bytes)} are held{self._where}"
        return [Eviction(each, FOR_GROWTH, self._line(each, about, now)) for each in chosen]

    def excess(self, residents: Sequence[Resident], now: float) -> str:
        """Return what is to be told where more is held for a while than may be, and none of it can give way."""
        total = sum(each.size_bytes for each in residents)
        if total <= self.limit_bytes:
            self._over_since = None
            return ""
        if self._over_since is None:
            self._over_since = now
        if now - self._over_since < PATIENCE_S or now - self._over_told < _TELL_S:
            return ""
        self._over_told = now
        most = max(residents, key=lambda each: (each.key != _OWN, each.size_bytes))
        return (
            f"{_mb(total)} of {_mb(self.limit_bytes)} are held by what is busy or has to stay, the most by "
            f"{most.name}: {_mb(most.size_bytes)}"
        )

    def _choose(
        self, candidates: Iterable[Resident], over: int, now: float
    ) -> list[Resident] | None:
        """Return the models of the least worth that hold so much together; None where all of them hold less."""

        def order(each: Resident) -> tuple[bool, bool, float, float]:
            is_new = now - each.loaded_at < self._min_residence_s
            return not each.is_idle, is_new, each.worth, each.used_at

        chosen: list[Resident] = []
        freed = 0
        for each in sorted(candidates, key=order):
            chosen.append(each)
            freed += each.size_bytes
            if freed >= over:
                break
        else:
            return None
        for each in reversed(chosen[:-1]):
            # Small ones need not go where a larger one has to.
            if freed - each.size_bytes >= over:
                chosen.remove(each)
                freed -= each.size_bytes
        return chosen

    def _has_stayed(self, each: Resident, now: float) -> bool:
        return not each.is_loading and now - each.loaded_at >= self._min_residence_s

    def _note_turns(self, name: str, evicted: Iterable[str], now: float) -> str:
        """Remember who made room for whom. Return a model that did for this one as this one did for it, to be told."""
        partner = ""
        gave_way_for = self._gave_way.get(name)
        for other in evicted:
            pair = (min(name, other), max(name, other))
            if other == gave_way_for and now - self._told.get(pair, -_TELL_S) >= _TELL_S:
                partner = other
                self._told[pair] = now
            self._gave_way.pop(other, None)
            self._gave_way[other] = name
            if len(self._gave_way) > _MOST_REMEMBERED:
                del self._gave_way[next(iter(self._gave_way))]
        if len(self._told) > _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
        return partner

    @staticmethod
    def _line(each: Resident, about: str, now: float) -> str:
        used = f"last used {now - each.used_at:.0f} s ago" if each.used_at else "never used"
        return f"{_mb(each.size_bytes)}, {used}, loads in {each.load_s:.2f} s; gives way to {about}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
