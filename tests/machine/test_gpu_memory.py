"""GPUs have the numbers by which CUDA shows them to workers, and the driver has others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mms.machine.gpu_memory import GpuMemory

MB = 10**6


class Nvml:
    """A driver of three GPUs of 100, 200 and 300 MB."""

    NVMLError = RuntimeError

    def nvmlInit(self) -> None:
        return

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetUUID(self, device: int) -> str:
        return ("GPU-aa11", "GPU-aa22", "GPU-bb33")[device]

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return SimpleNamespace(total=(device + 1) * 100 * MB)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:
        return [SimpleNamespace(pid=device + 1, usedGpuMemory=MB)]


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        (" 1 ", [1]),
        ("GPU-bb33,GPU-aa11", [2, 0]),
        ("GPU-b", [2]),
        ("GPU-aa", []),
        ("0,-1,1", [0]),
        ("7", []),
        ("MIG-aa11", []),
        ("", []),
    ],
)
def test_a_gpu_is_the_one_that_cuda_shows_under_its_number(
    visible: str | None, devices: list[int]
) -> None:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    gpus = GpuMemory(Nvml(), environ)
    assert gpus.limits == [(device + 1) * 95 * MB for device in devices]
    assert [list(gpus.held(number)) for number in range(len(devices))] == [
        [device + 1] for device in devices
    ]
    assert gpus.held(len(devices)) == {}
