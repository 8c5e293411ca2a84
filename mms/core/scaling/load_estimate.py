"""What comes and what it costs, estimated from looks at a model version."""

from __future__ import annotations

from collections import deque

from mms.core.scaling.load_sample import LoadSample

#: Half of what was seen is forgotten in this time, in seconds.
_HALF_LIFE_S = 30.0
#: The newest looks, which tell of a burst, go back so far, in seconds.
_RECENT_S = 2.0
#: How many of the newest looks are asked whether requests were late.
_LATE_LOOKS = 20
#: Between looks that are further apart, in seconds, nobody knows what happened.
_LONGEST_GAP_S = 5.0
#: Completed requests, of which half are forgotten in a half-life, before their cost is known.
_LEAST_COMPLETED = 0.5
#: A request costs a worker no less, in seconds.
_LEAST_COST_S = 0.0001


class LoadEstimate:
    """Moving estimates. Rates are in requests a second, costs in worker-seconds a request."""

    def __init__(self) -> None:
        self._last: LoadSample | None = None
        self._recent: deque[LoadSample] = deque()
        self._delays: deque[float] = deque(maxlen=_LATE_LOOKS)
        self._seconds = self._arrived = self._completed = self._busy_s = 0.0
        #: When a request was last seen, or came.
        self.busy_at = 0.0

    def __repr__(self) -> str:
        return f"<LoadEstimate {self.rate:.1f} requests/s of {self.cost_s * 1e3:.1f} ms>"

    def observe(self, sample: LoadSample) -> None:
        """Take a look in."""
        last, self._last = self._last, sample
        self._recent.append(sample)
        while sample.at - self._recent[0].at > _RECENT_S:
            self._recent.popleft()
        self._delays.append(sample.delay_s)
        if last is None or sample.at - last.at > _LONGEST_GAP_S:
            self.busy_at = sample.at
            return
        passed_s = sample.at - last.at
        arrived = sample.arrived - last.arrived
        if arrived or sample.busy or sample.waiting:
            self.busy_at = sample.at
        left = 0.5 ** (passed_s / _HALF_LIFE_S)
        open_before, open_now = last.waiting + last.running, sample.waiting + sample.running
        self._seconds = self._seconds * left + passed_s
        self._arrived = self._arrived * left + arrived
        self._completed = self._completed * left + max(arrived + open_before - open_now, 0)
        self._busy_s = self._busy_s * left + (last.busy + sample.busy) / 2 * passed_s

    @property
    def rate(self) -> float:
        """Requests a second, of the last half minute or so."""
        return self._arrived / self._seconds if self._seconds else 0.0

    @property
    def recent_rate(self) -> float:
        """Requests a second, of the last seconds."""
        first, last = self._recent[0], self._recent[-1]
        passed_s = last.at - first.at
        return (last.arrived - first.arrived) / passed_s if passed_s else 0.0

    @property
    def cost_s(self) -> float:
        """What a request costs a worker; 0: not known yet."""
        if self._completed < _LEAST_COMPLETED:
            return 0.0
        # Looks may have found no worker busy, where each request takes far less than there is between them.
        return max(self._busy_s / self._completed, _LEAST_COST_S)

    def late_looks(self, limit_s: float) -> float:
        """Return the share of the newest looks that found a request waiting for longer than `limit_s`."""
        return sum(delay_s > limit_s for delay_s in self._delays) / _LATE_LOOKS

    def forget_delays(self) -> None:
        """The workers are others from now on: what was waited for before tells nothing."""
        self._delays.clear()
