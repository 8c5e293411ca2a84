"""Why a worker has no node yet, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_GIB = 1 << 30
#: Ray's names of resources -> in words.
_WORDS = {"CPU": "CPU", "GPU": "GPU"}


class NodeRoom(NamedTuple):
    """What one node has, and what of it is free; by Ray's names of resources, memory in bytes."""

    total: Mapping[str, float]
    free: Mapping[str, float]


def needed(wants: Mapping[str, Any]) -> dict[str, float]:
    """Return what a worker asks Ray for, by Ray's names of resources."""
    found = {"CPU": float(wants.get("num_cpus", 1)), "GPU": float(wants.get("num_gpus", 0))}
    found["memory"] = float(wants.get("memory", 0))
    found |= {name: float(count) for name, count in wants.get("resources", {}).items()}
    return {name: count for name, count in found.items() if count}


def waiting_reason(wants: Mapping[str, Any], rooms: Sequence[NodeRoom]) -> str:
    """Return the sentence: what is waited for, and what there is of it."""
    need = needed(wants)
    asked = ", ".join(_in_words(name, count) for name, count in need.items()) or "any"
    return f"waiting for a node: {asked} ({_state(need, rooms)})"


def _state(need: Mapping[str, float], rooms: Sequence[NodeRoom]) -> str:
    if not rooms:
        return "the cluster has no node"
    nodes = "1 node" if len(rooms) == 1 else f"{len(rooms)} nodes"
    able = [room for room in rooms if _fits(need, room.total)]
    if not able:
        missing = [
            name for name, count in need.items() if all(r.total.get(name, 0) < count for r in rooms)
        ]
        if not missing:
            return f"none of {nodes} has all of it"
        most = ", ".join(
            _in_words(name, max(room.total.get(name, 0) for room in rooms)) for name in missing
        )
        return f"none of {nodes} is large enough: there are at most {most} on one"
    if any(_fits(need, room.free) for room in able):
        return "there is room: Ray starts it"
    short = [name for name, count in need.items() if all(r.free.get(name, 0) < count for r in able)]
    free = ", ".join(
        _in_words(name, max(room.free.get(name, 0) for room in able)) for name in short
    )
    return (
        f"{len(able)} of {nodes} could have it, but in use: at most {free or 'a part'} free on one"
    )


def _fits(need: Mapping[str, float], room: Mapping[str, float]) -> bool:
    return all(room.get(name, 0) >= count for name, count in need.items())


def _in_words(name: str, count: float) -> str:
    if name == "memory":
        return f"{count / _GIB:.1f} GiB of memory"
    if name in _WORDS:
        return f"{count:g} {_WORDS[name]}{'' if count == 1 else 's'}"
    return f"{count:g} {name}"
