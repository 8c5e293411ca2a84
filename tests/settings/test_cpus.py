"""How many CPUs a process may use: its affinity and the quotas of its cgroups, of both versions."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from mms.machine.cpus import available_cpus, cgroup_quota

_ASK = [
    sys.executable,
    "-c",
    "from mms.machine.cpus import available_cpus; print(available_cpus())",
]
_V2 = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
_V1 = "31 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
_OTHER = "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n33 23 0:29 / / rw - ext4 /dev/a rw\n"


def _quota(root: Path, groups: str, mounts: str, files: dict[str, str]) -> float | None:
    (root / "self").mkdir()
    (root / "self" / "cgroup").write_text(groups)
    (root / "self" / "mountinfo").write_text(_OTHER + mounts)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return cgroup_quota(root / "self", root)


@pytest.mark.parametrize(
    ("path", "top", "files", "quota"),
    [
        # A container with a namespace of its own.
        ("/", "/", {"cpu.max": "200000 100000\n"}, 2.0),
        ("/", "/", {"cpu.max": "max 100000\n"}, None),
        ("/", "/", {}, None),
        # A service; a group above has less.
        ("/a/b", "/", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        ("/a/b", "/", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "150000 100000"}, 0.5),
        # A container that is shown its own group alone, by its path on the machine.
        ("/docker/c", "/docker/c", {"cpu.max": "300000 100000"}, 3.0),
        # Outside of what is shown.
        ("/../other", "/", {"cpu.max": "100000 100000", "other/cpu.max": "1 1"}, 1.0),
        ("/", "/", {"cpu.max": "what 100000"}, None),
        ("/", "/", {"cpu.max": "100000 0"}, None),
    ],
)
def test_the_least_quota_of_version_2_counts(
    tmp_path: Path, path: str, top: str, files: dict[str, str], quota: float | None
) -> None:
    assert _quota(tmp_path, f"0::{path}\n", _V2.format(top=top), files) == quota


@pytest.mark.parametrize(
    ("path", "top", "files", "quota"),
    [
        ("/docker/c", "/docker/c", {"": ("250000", "100000")}, 2.5),
        ("/docker/c", "/", {"docker/c": ("100000", "50000")}, 2.0),
        ("/a/b", "/", {"a/b": ("-1", "100000"), "a": ("100000", "100000"), "": ("-1", "1")}, 1.0),
        ("/", "/", {"": ("-1", "100000")}, None),
    ],
)
def test_the_least_quota_of_version_1_counts(
    tmp_path: Path, path: str, top: str, files: dict[str, tuple[str, str]], quota: float | None
) -> None:
    groups = f"5:memory:/other\n4:cpu,cpuacct:{path}\n0::/\n"
    texts = {}
    for folder, (limit, period) in files.items():
        texts[f"cpu,cpuacct/{folder}/cpu.cfs_quota_us"] = f"{limit}\n"
        texts[f"cpu,cpuacct/{folder}/cpu.cfs_period_us"] = f"{period}\n"
    assert _quota(tmp_path, groups, _V1.format(top=top), texts) == quota


def test_without_cgroups_there_is_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path) is None


def test_affinity_counts() -> None:
    available = sorted(os.sched_getaffinity(0))
    assert 1 <= available_cpus() <= len(available)
    ended = subprocess.run(
        _ASK,
        preexec_fn=lambda: os.sched_setaffinity(0, available[:1]),
        capture_output=True,
        check=True,
    )
    assert int(ended.stdout) == 1


def test_a_part_of_a_cpu_counts_as_one() -> None:
    """By a group of the system's own, where this process may make one."""
    group = _new_group()
    try:
        ended = subprocess.run(
            _ASK,
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
            capture_output=True,
            check=True,
        )
        assert int(ended.stdout) == 1
    finally:
        group.rmdir()


def _new_group() -> Path:
    """A group below this process's own with half a CPU."""
    name = f"mms-test-{uuid.uuid4().hex}"
    for group, file, text in (
        (Path("/sys/fs/cgroup/cpu", name), "cpu.cfs_quota_us", "50000"),
        (Path("/sys/fs/cgroup", name), "cpu.max", "50000 100000"),
    ):
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / file).write_text(text)
            return group
        except OSError:
            group.rmdir()
    pytest.skip("this process may make no cgroup with a quota for CPUs")
