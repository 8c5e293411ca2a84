"""What is said of a model besides its registration: by its archive's `model-config.yaml`, and by the setting `models`.

Both have TorchServe's names. A registration goes before the file, the file before the setting, and that before what
holds for all models.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mms.brief import brief
from mms.documents import InvalidDocument, read_yaml
from mms.errors import InvalidModel
from mms.nearest import did_you_mean
from mms.repository import FetchedArchive
from mms.serving.options import RegisterOptions

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

_FILE: Final = "model-config.yaml"
_MOST: Final = 10**9


@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """How many workers a model is started with, and how many it may have."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class _Key:
    """`convert` raises ValueError, which says what would be right. `member`: of RegisterOptions."""

    member: str
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
    if not isinstance(value, list) or not value:
        raise ValueError("a list of numbers of GPUs")
    return tuple(_whole(0)(number) for number in value)


#: What both may say, by TorchServe's names, then by ours.
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
#: TorchServe's, which this server does not have.
_WITHOUT_EFFECT: Final = frozenset(
    (
        *("parallelType", "parallelLevel", "torchrun", "maxRetryTimeoutInSec", "useJobTicket"),
        *(
            "sequenceMaxIdleMSec",
            "sequenceTimeoutMSec",
            "maxSequenceJobQueueSize",
            "maxNumSequence",
        ),
        *("sequenceBatching", "continuousBatching", "asyncCommunication", "useVenv", "stateful"),
    )
)
#: What TorchServe's own snapshots have in the setting besides.
_OF_SNAPSHOTS: Final = frozenset(("defaultVersion", "marName", "runtime", "runtimeType"))


def with_file_and_setting(
    options: RegisterOptions, archive: FetchedArchive, settings: Settings, default_name: str | None
) -> tuple[RegisterOptions, WorkerBounds | None]:
    """The registration with what the archive's file and the setting `models` say where it says nothing itself.

    Blocks. `default_name`: of a model that has no other. Raises InvalidModel for a file that cannot be read.
    """
    bounds: WorkerBounds | None = None
    manifest = archive.manifest
    name = options.model_name or (manifest.model_name if manifest else None) or default_name
    version = (manifest.model_version if manifest is not None else None) or options.model_version
    for source, said, is_setting in (
        (_file_name(archive), _of_file(archive), False),
        (f"the setting models, {name}", _of_setting(settings.models, name, version), True),
    ):
        options = _completed(options, said, source, is_setting)
        bounds = bounds or _bounds(said, source)
    return options, bounds


def _completed(
    options: RegisterOptions, said: Mapping[str, Any], source: str, is_setting: bool
) -> RegisterOptions:
    found: dict[str, Any] = {}
    for key, value in said.items():
        known = _KEYS.get(key)
        if known is None:
            _tell_of_unknown(key, source, is_setting)
            continue
        try:
            converted = known.convert(value)
        except ValueError as error:
            logger.warning(
                "%s: %s is %s and has no effect; it should be %s.",
                *(source, key, brief(value), error),
            )
            continue
        if getattr(options, known.member) is None:
            found.setdefault(known.member, converted)
    device = str(said.get(_DEVICE_TYPE, "")).lower()
    if device == "cpu" and options.gpu_ids is None:
        found["gpu_ids"] = ()
    elif device not in ("", "cpu", "gpu"):
        logger.warning("%s: %s %s has no effect.", source, _DEVICE_TYPE, brief(device))
    return replace(options, **found) if found else options


def _tell_of_unknown(key: Any, source: str, is_setting: bool) -> None:
    if key in _WORKERS or key == _DEVICE_TYPE or (is_setting and key in _OF_SNAPSHOTS):
        return
    known = [*_KEYS, *_WORKERS, _DEVICE_TYPE]
    hint = did_you_mean(str(key), known)
    if key in _WITHOUT_EFFECT:
        logger.warning("%s: %s is TorchServe's and has no effect here.", source, key)
    elif is_setting or hint:
        # What else is in the file is for the handler.
        logger.warning("%s: unknown key %s has no effect%s", source, brief(key), hint)


def _bounds(said: Mapping[str, Any], source: str) -> WorkerBounds | None:
    least, most = (said.get(key) for key in _WORKERS)
    if least is None and most is None:
        return None
    try:
        fewest = _whole(0)(most if least is None else least)
        return WorkerBounds(fewest, max(_whole(0)(fewest if most is None else most), fewest))
    except ValueError as error:
        logger.warning(
            "%s: minWorkers %s and maxWorkers %s have no effect; each should be %s.",
            *(source, brief(least), brief(most), error),
        )
        return None


def _file_name(archive: FetchedArchive) -> str:
    manifest = archive.manifest
    return (manifest.config_file if manifest is not None else None) or _FILE


def _of_file(archive: FetchedArchive) -> Mapping[str, Any]:
    name = _file_name(archive)
    path = archive.folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.is_file():
        if name != _FILE:
            logger.warning("The archive has no file %s, which its manifest names.", brief(name))
        return {}
    try:
        found = read_yaml(path.read_bytes())
    except (InvalidDocument, OSError) as error:
        raise InvalidModel(f"{name} cannot be read: {error}.") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidModel(f"{name} must be a mapping such as `batchSize: 8`, not {brief(found)}.")
    return found


def _of_setting(
    models: Mapping[str, Any] | None, name: str | None, version: str | None
) -> Mapping[str, Any]:
    versions = (models or {}).get(name or "", {})
    found = versions.get(version) if version is not None else None
    if found is None and version is None and len(versions) == 1:
        # A model without a version has one entry, whatever it is called.
        found = next(iter(versions.values()))
    if versions and found is None:
        logger.warning(
            "The setting models has no effect on model %s, %s: it names the versions %s.",
            *(name, "which has no version" if version is None else f"version {version}"),
            " and ".join(versions),
        )
    return found or {}
