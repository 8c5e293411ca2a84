"""A model's description as TorchServe's clients know it, made of this server's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: TorchServe's members that come from keys of `model-config.yaml`, with what stands for them.
_OF_FILE: Final[Mapping[str, Any]] = {
    "maxRetryTimeoutInSec": 300,
    "clientTimeoutInMills": 0,
    "parallelType": "",
    "parallelLevel": 0,
    "deviceType": "",
    "deviceIds": None,
    "continuousBatching": False,
    "useVenv": False,
}
#: What a model without sequences has for them.
_NO_SEQUENCES: Final[Mapping[str, int]] = {
    "sequenceMaxIdleMSec": 0,
    "sequenceTimeoutMSec": 0,
    "maxNumSequence": 0,
    "maxSequenceJobQueueSize": 0,
}
_READY: Final = "READY"
#: TorchServe's word for any worker that has not loaded.
_NOT_READY: Final = "UNLOADING"


def torchserve_description(own: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return TorchServe's members in its order. `config`: what the model's `model-config.yaml` says.

    Where its last load failed, `loadError` tells why, which TorchServe leaves to its log.
    """
    has_gpu = any(worker["gpu"] for worker in own["workers"])
    of_file = {
        name: value if type(value) is type(usual) or usual is None else usual
        for name, usual in _OF_FILE.items()
        if (value := config.get(name, usual)) is not None
    }
    of_file["deviceType"] = of_file["deviceType"] or ("gpu" if has_gpu else "cpu")
    description = {
        "modelName": own["modelName"],
        "modelVersion": own.get("modelVersion", "1.0"),
        "modelUrl": own["modelUrl"],
        "runtime": own["runtime"],
        "minWorkers": own["minWorkers"],
        "maxWorkers": own["maxWorkers"],
        "batchSize": own["batchSize"],
        "maxBatchDelay": own["maxBatchDelay"],
        "responseTimeout": _seconds(own.get("responseTimeout")),
        "startupTimeout": _seconds(own.get("loadTimeout")),
        **{name: value for name, value in of_file.items() if name != "useVenv"},
        "useJobTicket": own.get("useJobTicket", False),
        "useVenv": of_file["useVenv"],
        "stateful": "sequences" in own,
        **_NO_SEQUENCES,
        **{name: own["sequences"][name] for name in _NO_SEQUENCES if "sequences" in own},
        "loadedAtStartup": own["loadedAtStartup"],
        "workers": [_worker(worker) for worker in own["workers"]],
        "jobQueueStatus": own["jobQueueStatus"],
    }
    if "loadError" in own:
        description["loadError"] = own["loadError"]
    return description


def _seconds(value: float | None) -> float | int:
    """Return whole seconds as a whole number; an absent time is TorchServe's default."""
    if value is None:
        return 120
    return int(value) if float(value).is_integer() else value


def _worker(own: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": own["id"],
        "startTime": own["startTime"],
        "status": _READY if own["status"] == _READY else _NOT_READY,
        "memoryUsage": own["memoryUsage"],
        "pid": own["pid"] or -1,
        "gpu": own["gpu"],
        "gpuUsage": "N/A",
    }
