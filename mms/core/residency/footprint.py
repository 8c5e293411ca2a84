"""What a model takes of memory, how long its load takes and how often it is asked: by which models give way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Final

from mms.core.worker import Worker

#: The weight of a request is half after so long, in seconds: long enough to tell models that are asked every few
#: minutes from others, short enough to follow a day's changes.
_HALF_LIFE_S: Final = 300.0
_FADING: Final = log(2) / _HALF_LIFE_S
#: Weight of a new load in the moving estimate of the time for it.
_LOAD_WEIGHT: Final = 0.3
#: Weight of a new load in what workers of a kind hold on the average.
_SIZE_WEIGHT: Final = 0.2
#: Kinds of models of which that is remembered.
_MOST_KINDS: Final = 20_000


class Footprint:
    """What a worker of a model holds, by the loads so far of the same archive. Sizes in bytes; 0: not known."""

    __slots__ = ("gpu_bytes", "load_s", "loaded_bytes", "peak_bytes")

    def __init__(self) -> None:
        #: Just after the last load.
        self.loaded_bytes = 0
        #: The most since that load.
        self.peak_bytes = 0
        #: The most of a GPU; None: not known.
        self.gpu_bytes: int | None = None
        #: How long a load takes, in seconds.
        self.load_s = 0.0

    def __repr__(self) -> str:
        return f"<Footprint {self.loaded_bytes} to {self.peak_bytes} bytes, loads in {self.load_s:.3f} s>"

    def note_load(self, size_bytes: int, load_s: float) -> None:
        """Note that a worker has loaded the model in `load_s` seconds, and holds so much."""
        self.loaded_bytes = self.peak_bytes = size_bytes
        weight = _LOAD_WEIGHT if self.load_s else 1.0
        self.load_s += (load_s - self.load_s) * weight

    def note_size(self, size_bytes: int) -> None:
        """Note what a worker that has loaded the model holds now."""
        self.peak_bytes = max(self.peak_bytes, size_bytes)


@dataclass(slots=True)
class _Average:
    loaded_bytes: float = 0.0
    #: What is added by the first requests.
    growth_bytes: float = 0.0
    has_grown: bool = False


class TypicalSizes:
    """What workers hold on the average, by the last loads of each kind of model: for those that were never loaded.

    `kinds` of a model: the closest first, such as those with the same bytes; the last one has all models.
    """

    __slots__ = ("_averages",)

    def __init__(self) -> None:
        #: The kinds of which a model was loaded last are last.
        self._averages: dict[str, _Average] = {}

    def __repr__(self) -> str:
        return f"<TypicalSizes of {len(self._averages)} kinds>"

    def note_load(self, kinds: Sequence[str], size_bytes: int) -> None:
        """Note that a worker has loaded such a model, and holds so much."""
        for kind in kinds:
            average = self._averages.pop(kind, None) or _Average(size_bytes)
            average.loaded_bytes += (size_bytes - average.loaded_bytes) * _SIZE_WEIGHT
            self._averages[kind] = average
        while len(self._averages) > _MOST_KINDS:
            del self._averages[next(iter(self._averages))]

    def note_growth(self, kinds: Sequence[str], size_bytes: int) -> None:
        """Note by how much a worker has grown since its load, with its first requests."""
        for kind in kinds:
            if (average := self._averages.get(kind)) is not None:
                weight = _SIZE_WEIGHT if average.has_grown else 1.0
                average.growth_bytes += (max(size_bytes, 0) - average.growth_bytes) * weight
                average.has_grown = True

    def growth(self, kinds: Sequence[str]) -> int:
        """Return by how much a worker that has loaded is expected to grow with its first requests, in bytes."""
        found = self._closest(kinds)
        return 0 if found is None else int(found.growth_bytes)

    def expected(self, kinds: Sequence[str]) -> int | None:
        """Return what a worker of such a model will hold, in bytes; None where none has loaded yet."""
        found = self._closest(kinds)
        return None if found is None else int(found.loaded_bytes + found.growth_bytes)

    def _closest(self, kinds: Sequence[str]) -> _Average | None:
        return next((found for kind in kinds if (found := self._averages.get(kind))), None)


class UseRate:
    """How often a model is asked: requests whose weight fades with time. Times are of `time.monotonic()`."""

    __slots__ = ("_counted", "_total", "_weight", "used_at")

    def __init__(self) -> None:
        self._total = 0
        self._weight = 0.0
        #: When `_weight` was right.
        self._counted = 0.0
        #: When the last request came; 0: none has.
        self.used_at = 0.0

    def __repr__(self) -> str:
        return f"<UseRate of {self._total} requests>"

    def observe(self, total: int, used_at: float) -> None:
        """There have been so many requests altogether, the last one at `used_at`."""
        if total <= self._total:
            return
        self._weight = self._faded(used_at) + total - self._total
        self._counted = self.used_at = used_at
        self._total = total

    def rate(self, now: float) -> float:
        """Return the requests in a second of late."""
        return self._faded(now) * _FADING

    def _faded(self, now: float) -> float:
        return self._weight * exp(-_FADING * max(now - self._counted, 0.0))


@dataclass(slots=True)
class HeldMemory:
    """What a worker holds, or is expected to while it loads."""

    size_bytes: int
    is_loading: bool = True
    #: It has room, and waits for those that give it to be gone.
    is_waiting: bool = True
    #: The model has never been measured: `size_bytes` is what models like it hold on the average.
    is_guess: bool = False
    #: When it was measured last, of `time.monotonic()`.
    measured_at: float = 0.0
    #: What it is expected to grow by with its first requests; None: it has been measured since.
    growth_bytes: int | None = 0
    #: Of the worker's GPU.
    gpu_bytes: int = 0
    #: The model has never been measured on a GPU.
    is_gpu_guess: bool = False


@dataclass(slots=True)
class ModelMemory:
    """A model version's part of the limited memory."""

    footprint: Footprint
    use: UseRate = field(default_factory=UseRate)
    held: dict[Worker, HeldMemory] = field(default_factory=dict)
    #: When its last load ended, of `time.monotonic()`; 0: none has.
    loaded_at: float = 0.0
    #: By which change of the memory it was found last that there is no room for it; None: its last load had room.
    found_full_at: int | None = None
    #: How often it gave way, by the reason.
    evictions: Counter[str] = field(default_factory=Counter)

    @property
    def resident_bytes(self) -> int:
        """What its workers hold, and those that load are expected to."""
        return sum(held.size_bytes for held in self.held.values() if not held.is_waiting)

    @property
    def gpu_bytes(self) -> int:
        """What its workers hold of GPUs."""
        return sum(held.gpu_bytes for held in self.held.values() if not held.is_waiting)
