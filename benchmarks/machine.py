"""What the figures were measured on, and how much else the machine was doing meanwhile."""

from __future__ import annotations

import platform
import resource
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.places import ROOT
from mms.machine.cpus import available_cpus

GIB = 1024**3


def describe_machine() -> dict[str, str]:
    return {
        "processor": f"{_processor_name()}, {available_cpus()} cores",
        "memory": f"{psutil.virtual_memory().total / GIB:.0f} GiB",
        "system": f"{_system_name()}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "Java": _java_version(),
    }


def checkout_version() -> str:
    """Return the commit of the measured tree, and whether it had changes that are in no commit."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    finished = subprocess.run(command, capture_output=True, text=True)
    return finished.stdout.strip() or "unknown commit"


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _java_version() -> str:
    if shutil.which("java") is None:
        return "not installed"
    finished = subprocess.run(["java", "-version"], capture_output=True, text=True)
    return (finished.stderr or finished.stdout).partition("\n")[0].strip()


@dataclass(frozen=True)
class Usage:
    """Processor seconds used up to a moment, machine-wide and by those who take part."""

    machine_s: float
    own_s: float
    by_role: dict[str, float]


def read_usage(processes: Iterable[tuple[str, psutil.Process]]) -> Usage:
    """Read the counters now. `processes` are the server's, each with its role."""
    by_role: dict[str, float] = {}
    for role, process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        by_role[role] = by_role.get(role, 0.0) + times.user + times.system
    whole = psutil.cpu_times()
    own = resource.getrusage(resource.RUSAGE_SELF)
    generator = resource.getrusage(resource.RUSAGE_CHILDREN)
    own_s = own.ru_utime + own.ru_stime + generator.ru_utime + generator.ru_stime
    return Usage(whole.user + whole.nice + whole.system, own_s, by_role)


def foreign_cores(before: Usage, after: Usage, wall_s: float) -> float:
    """Return how many cores others kept busy between the two readings."""
    server_s = sum(after.by_role.values()) - sum(before.by_role.values())
    known_s = server_s + after.own_s - before.own_s
    return max(0.0, (after.machine_s - before.machine_s - known_s) / wall_s)


def held_mib(processes: Iterable[psutil.Process]) -> float:
    """Return the memory of these together, in MiB: PSS, and the tables of their pages, which are nobody else's."""
    size = 0
    for process in processes:
        try:
            size += process.memory_full_info().pss
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmPTE:"):
                    size += int(line.split()[1]) * 1024
        except (psutil.NoSuchProcess, OSError):
            continue
    return size / 1024**2


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return what these have used so far, with their children that have ended."""
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def memory_mib(processes: Iterable[psutil.Process]) -> tuple[float, float]:
    """Return (RSS, PSS) of these together, in MiB. PSS counts a page that n processes share as 1/n each."""
    rss = pss = 0
    for process in processes:
        try:
            full = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        rss += full.rss
        pss += full.pss
    return rss / 1024**2, pss / 1024**2
