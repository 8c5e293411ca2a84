"""Which group `model-config.yaml` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mms.text.brief import brief

#: A process that owns several devices itself needs no group.
_CUSTOM = "custom"
#: With pipelines, only the first process is given requests.
_PIPELINE = "pp"
_MOST_PROCESSES = 64
#: torchrun's own defaults.
_MONITOR_INTERVAL_S = 5


class GroupOptions(NamedTuple):
    """`is_pipeline`: requests go to the first process alone. `threads`: of each process's computations."""

    size: int
    is_pipeline: bool = False
    threads: int = 1
    monitor_interval_s: int = _MONITOR_INTERVAL_S


def group_options(config: Mapping[str, Any]) -> GroupOptions | None:
    """Return the group; None where the file asks for none. Raises ValueError for one that cannot be started here."""
    said = config.get("torchrun")
    parallel = config.get("parallelType") or ""
    if said is None or parallel == _CUSTOM:
        return None
    if not isinstance(said, Mapping):
        raise ValueError(f"torchrun is {brief(said)}; it should be a mapping")
    if _number(said, "nnodes", 1) != 1:
        raise ValueError(
            f"torchrun: nnodes is {brief(said['nnodes'])}; a group is started on one machine"
        )
    size = _number(said, "nproc-per-node", 1)
    if size > _MOST_PROCESSES:
        raise ValueError(f"torchrun: nproc-per-node is {size}; at most {_MOST_PROCESSES}")
    return GroupOptions(
        size,
        parallel == _PIPELINE,
        _number(said, "OMP_NUMBER_THREADS", 1),
        _number(said, "monitor-interval", _MONITOR_INTERVAL_S),
    )


def process_count(config: Mapping[str, Any]) -> int:
    """Return how many processes run the model; 1 for a group that cannot be started, as its load then says."""
    try:
        group = group_options(config)
    except ValueError:
        return 1
    return group.size if group is not None else 1


def _number(said: Mapping[str, Any], name: str, default: int) -> int:
    value = said.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"torchrun: {name} is {brief(value)}; it should be a whole number from 1 on"
        )
    return value
