"""What a process is seen to do, by its kernel's word."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: A process that uses a larger part of a processor computes, whatever it holds.
_COMPUTING_SHARE = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(slots=True)
class Sight:
    """What a process had done at a heartbeat."""

    beat: int
    cpu_s: float
    major_faults: int
    #: Runs or waits for its turn to, which a machine with much else to do may not give it; or waits for a disk, when
    #: no signal reaches it before that is done.
    is_at_work: bool


def has_worked(before: Sight, now: Sight, interval_s: float) -> bool:
    """Return whether a process did anything between two heartbeats; `interval_s`: from one heartbeat to the next.

    Heartbeats count, not the clock: while the whole machine was held up, nobody could work.
    """
    passed_s = (now.beat - before.beat) * interval_s
    return (
        now.is_at_work
        or now.major_faults != before.major_faults
        or now.cpu_s - before.cpu_s > passed_s * _COMPUTING_SHARE
    )


def look_at(pid: int, beat: int) -> Sight | None:
    """None where the process cannot be looked at: its end is told otherwise."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            # The name before may hold anything.
            members = file.read().rpartition(")")[2].split()
    except OSError:
        return _look_portably(pid, beat)
    cpu_s = (int(members[11]) + int(members[12])) / _TICKS_PER_S
    return Sight(beat, cpu_s, int(members[9]), members[0] in "RD")


def _look_portably(pid: int, beat: int) -> Sight | None:
    import psutil  # takes time that a start of the server should not

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return Sight(beat, times.user + times.system, 0, False)
