"""`model-config.yaml`: what an archive says of how its model is run, by TorchServe's names, then by ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from archiver.errors import ArchiveError
from mms.interfaces import INTERFACES, part
from mms.registration import AdmissionParameters, InvalidValue, Kind
from mms.registration.kind import count_exactly
from mms.text.brief import brief
from mms.text.nearest import did_you_mean

#: The file, where the manifest's `configFile` names no other.
CONFIG_NAME: Final = "model-config.yaml"


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


#: The members of a registration, their kinds and the units of the file, by key.
_KEYS: Final[Mapping[str, tuple[str, Kind, str]]] = {
    key.name: (member, declared.kind, key.unit)
    for options in (
        AdmissionParameters,
        *(part(each.parameters) for each in INTERFACES if each.parameters),
    )
    for member, declared in options.own_parameters()
    for key in declared.keys
}
_WORKERS: Final = ("minWorkers", "maxWorkers")
_DEVICE_TYPE: Final = "deviceType"
#: Of a model in several processes.
_PARALLEL_TYPE: Final = "parallelType"
_TORCHRUN: Final = "torchrun"
#: Those of models of one interface, which its workers read.
_OF_INTERFACES: Final = tuple(key for each in INTERFACES for key in each.config_keys)
_KNOWN: Final = (*_KEYS, *_WORKERS, _DEVICE_TYPE, *_OF_INTERFACES)
#: TorchServe's, which this server does not have, and what to know of each.
_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "parallelLevel": "nproc-per-node of torchrun says how many processes there are, and each sees all GPUs",
    "maxRetryTimeoutInSec": "a worker that fails is started anew after ever longer pauses",
    "stateful": "sequenceBatching keeps the requests of a sequence together",
    "asyncCommunication": "a handler that is a coroutine runs without it, one batch after the other",
    "useVenv": "install_requirements=venv of the registration is the same",
}

#: Unknown keys that are compared with the known ones. A file may have tens of thousands, for its handler.
_MOST_COMPARED: Final = 100


def read_config_file(text: bytes, name: str) -> dict[str, Any]:
    """Return what the file `name` says; nothing for an empty one. Raises InvalidModelConfig."""
    # Most archives have no such file, and a server's start has no time for a YAML parser.
    from mms.text.documents import InvalidDocument, read_yaml

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
    unknown = 0
    for key, value in said.items():
        known = _KEYS.get(key)
        if known is not None:
            try:
                option, kind, unit = known
                config.values.setdefault(option, kind.convert_exactly(value, unit))
            except InvalidValue as error:
                config.problems.append(
                    f"{key} is {brief(value)} and has no effect; it should be {error}."
                )
        elif key in _WITHOUT_EFFECT:
            if not value:
                # It asks for nothing.
                continue
            why = _WITHOUT_EFFECT[key]
            config.problems.append(f"{key} is TorchServe's and has no effect here: {why}.")
        elif key == _PARALLEL_TYPE and value and not said.get(_TORCHRUN):
            config.problems.append(
                f"{key} is TorchServe's and has no effect here: without {_TORCHRUN} a model runs in one process."
            )
        elif key not in _KNOWN and key not in (besides or ()):
            unknown += 1
            if unknown > _MOST_COMPARED:
                continue
            hint = did_you_mean(key, _KNOWN) if isinstance(key, str) else ""
            if hint or besides is not None:
                config.problems.append(f"unknown key {brief(key)} has no effect{hint or '.'}")
    if besides is not None and unknown > _MOST_COMPARED:
        config.problems.append(f"{unknown - _MOST_COMPARED} more unknown keys have no effect.")
    _read_device_type(said, config)
    _read_workers(said, config)
    return config


def _read_device_type(said: Mapping[Any, Any], config: ConfigKeys) -> None:
    value = said.get(_DEVICE_TYPE)
    device = value.lower() if isinstance(value, str) else ""
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
        fewest = count_exactly(most if least is None else least)
        highest = count_exactly(fewest if most is None else most)
    except InvalidValue as error:
        config.problems.append(
            f"minWorkers {brief(least)} and maxWorkers {brief(most)} have no effect; each should be {error}."
        )
        return
    if highest < fewest:
        config.problems.append(
            f"maxWorkers {highest} is less than minWorkers and has no effect; {fewest} count."
        )
    config.workers = WorkerBounds(fewest, max(highest, fewest))
