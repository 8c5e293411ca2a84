"""`model-config.yaml`: what an archive says of how its model is run, by TorchServe's names, then by ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from archiver.errors import ArchiveError
from mms.brief import brief
from mms.documents import InvalidDocument, read_yaml
from mms.nearest import did_you_mean

#: The file, where the manifest's `configFile` names no other.
CONFIG_NAME: Final = "model-config.yaml"
_MOST: Final = 10**9


class InvalidModelConfig(ArchiveError):
    """The file is no YAML, or no mapping. The message says what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """How many workers a model is started with, and how many it may have."""

    least: int
    most: int


@dataclass(slots=True)
class ConfigKeys:
    """What the server's keys say."""

    #: By option of a registration.
    values: dict[str, Any] = field(default_factory=dict)
    workers: WorkerBounds | None = None
    #: Sentences on what has no effect.
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Key:
    """`convert` raises ValueError, which says what would be right. `option`: of a registration."""

    option: str
    convert: Callable[[Any], Any]


def _whole(least: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
            raise ValueError(f"a whole number from {least} on")
        return value

    return convert


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("a number of seconds from 0 on")
    return float(value)


def _milliseconds(value: Any) -> float:
    try:
        return _seconds(value) / 1000
    except (ValueError, OverflowError):
        raise ValueError("a number of milliseconds from 0 on") from None


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise ValueError(" or ".join(words))
        return value.lower()

    return convert


def _gpu_ids(value: Any) -> tuple[int, ...]:
    try:
        if isinstance(value, list) and value:
            return tuple(_whole(0)(number) for number in value)
    except ValueError:
        pass
    raise ValueError("a list of numbers of GPUs such as [0, 2]")


_KEYS: Final[Mapping[str, _Key]] = {
    "batchSize": _Key("batch_size", _whole(1)),
    "maxBatchDelay": _Key("max_batch_delay_ms", _whole(0)),
    "responseTimeout": _Key("response_timeout_s", _seconds),
    "startupTimeout": _Key("load_timeout_s", _seconds),
    "clientTimeoutInMills": _Key("request_timeout_s", _milliseconds),
    "jobQueueSize": _Key("job_queue_size", _whole(1)),
    "deviceIds": _Key("gpu_ids", _gpu_ids),
    "batchPolicy": _Key("batch_policy", _one_of("adaptive", "fixed")),
    "retry": _Key("retry", _truth),
    "loadTimeout": _Key("load_timeout_s", _seconds),
    "requestTimeout": _Key("request_timeout_s", _seconds),
    "maxQueueTime": _Key("max_queue_time_ms", _whole(0)),
    "preloadModel": _Key("preload_model", _truth),
    "initializeErrors": _Key("initialize_errors", _one_of("fail", "ignore")),
}
_WORKERS: Final = ("minWorkers", "maxWorkers")
_DEVICE_TYPE: Final = "deviceType"
_KNOWN: Final = (*_KEYS, *_WORKERS, _DEVICE_TYPE)
#: TorchServe's, which this server does not have.
_WITHOUT_EFFECT: Final = frozenset(
    (
        *("parallelType", "parallelLevel", "torchrun", "maxRetryTimeoutInSec", "useJobTicket"),
        *("sequenceMaxIdleMSec", "sequenceTimeoutMSec", "maxSequenceJobQueueSize"),
        *("maxNumSequence", "sequenceBatching", "continuousBatching", "asyncCommunication"),
        *("useVenv", "stateful"),
    )
)


def read_config_file(text: bytes, name: str) -> dict[str, Any]:
    """Return what the file `name` says; nothing for an empty one. Raises InvalidModelConfig."""
    try:
        found = read_yaml(text)
    except InvalidDocument as error:
        raise InvalidModelConfig(f"{name} cannot be read: {error}.") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidModelConfig(
            f"{name} must be a mapping such as `batchSize: 8`, not {brief(found)}."
        )
    return found


def read_config_keys(
    said: Mapping[Any, Any], *, besides: Collection[str] | None = None
) -> ConfigKeys:
    """Return what a mapping of keys says of a model.

    An unknown key is a problem where it is nearly a known one: what else is in the file is for the handler. With
    `besides`, names that may be there, too, each unknown one is.
    """
    config = ConfigKeys()
    for key, value in said.items():
        known = _KEYS.get(key)
        if known is not None:
            try:
                config.values.setdefault(known.option, known.convert(value))
            except ValueError as error:
                config.problems.append(
                    f"{key} is {brief(value)} and has no effect; it should be {error}."
                )
        elif key in _WITHOUT_EFFECT:
            config.problems.append(f"{key} is TorchServe's and has no effect here.")
        elif key not in _KNOWN and key not in (besides or ()):
            hint = did_you_mean(str(key), _KNOWN)
            if hint or besides is not None:
                config.problems.append(f"unknown key {brief(key)} has no effect{hint or '.'}")
    _read_device_type(said, config)
    _read_workers(said, config)
    return config


def _read_device_type(said: Mapping[Any, Any], config: ConfigKeys) -> None:
    value = said.get(_DEVICE_TYPE)
    device = str(value).lower()
    if device == "cpu":
        config.values["gpu_ids"] = ()
    elif value is not None and device != "gpu":
        config.problems.append(
            f"{_DEVICE_TYPE} is {brief(value)} and has no effect; it should be cpu or gpu."
        )


def _read_workers(said: Mapping[Any, Any], config: ConfigKeys) -> None:
    least, most = (said.get(key) for key in _WORKERS)
    if least is None and most is None:
        return
    try:
        fewest = _whole(0)(most if least is None else least)
        highest = _whole(0)(fewest if most is None else most)
    except ValueError as error:
        config.problems.append(
            f"minWorkers {brief(least)} and maxWorkers {brief(most)} have no effect; each should be {error}."
        )
        return
    if highest < fewest:
        config.problems.append(
            f"maxWorkers {highest} is less than minWorkers and has no effect; {fewest} count."
        )
    config.workers = WorkerBounds(fewest, max(highest, fewest))
