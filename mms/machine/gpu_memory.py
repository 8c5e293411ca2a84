"""What processes hold of the memory of NVIDIA's GPUs, as their driver says by NVML.

The package nvidia-ml-py is optional.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

logger = logging.getLogger("mms.machine")

#: The share of a GPU's memory that models may have: its driver takes a part that no process shows.
_SHARE: Final = 0.95


class GpuMemory:
    """The GPUs by the numbers that workers know them by, as CUDA_VISIBLE_DEVICES has them.

    Its methods ask the driver, and block.
    """

    def __init__(self, nvml: Any, environ: Mapping[str, str] = os.environ) -> None:
        """`nvml`: the module `pynvml`. Raises its NVMLError where there is no driver."""
        self._nvml = nvml
        nvml.nvmlInit()
        devices = [
            nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())
        ]
        visible = environ.get("CUDA_VISIBLE_DEVICES")
        self._devices = devices if visible is None else self._visible(devices, visible)
        #: What models may hold of each GPU together, in bytes.
        self.limits = [
            int(nvml.nvmlDeviceGetMemoryInfo(device).total * _SHARE) for device in self._devices
        ]

    def __repr__(self) -> str:
        return f"<GpuMemory {self.limits}>"

    @classmethod
    def open(cls) -> GpuMemory | None:
        """Return what there is; None without GPUs, their driver or the package."""
        try:
            nvml: Any = importlib.import_module("pynvml")
        except ImportError:
            logger.info("GPU memory is not measured: the package nvidia-ml-py is not installed.")
            return None
        try:
            return cls(nvml)
        except nvml.NVMLError as error:
            logger.info("GPU memory is not measured: %s", error)
            return None

    def _visible(self, devices: list[Any], visible: str) -> list[Any]:
        """Return the devices that CUDA shows, in its order. As there, the list ends before what is no GPU."""
        found = []
        for word in (each.strip() for each in visible.split(",")):
            if word.isascii() and word.isdigit() and int(word) < len(devices):
                found.append(devices[int(word)])
                continue
            # The beginning of a uuid is enough where no other one has it.
            named = [each for each in devices if self._uuid(each).startswith(word)]
            if not word.startswith("GPU-") or len(named) != 1:
                break
            found += named
        return found

    def _uuid(self, device: Any) -> str:
        uuid = self._nvml.nvmlDeviceGetUUID(device)
        return uuid.decode() if isinstance(uuid, bytes) else str(uuid)

    def held(self, gpu: int) -> dict[int, int]:
        """Return the bytes that processes hold of a GPU, by process id, as far as the driver knows them.

        Without rights to see them, as in a container with process ids of its own, nobody is found.
        """
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._devices[gpu])
        except (self._nvml.NVMLError, IndexError):
            return {}
        return {each.pid: each.usedGpuMemory for each in found if each.usedGpuMemory}
