"""Places within bodies, written with dots: `a.b` is member b of member a."""

from __future__ import annotations

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def split_path(path: str) -> list[str]:
    r"""Return the names of a path. Between two backslashes, or after one, dots belong to the name: `a.\b.c\.d`."""
    if "\\" not in path:
        return path.split(".")
    names: list[str] = []
    name = ""
    for number, part in enumerate(path.split("\\")):
        if number % 2:
            name += part
            continue
        first, *others = part.split(".")
        name += first
        for other in others:
            names.append(name)
            name = other
    names.append(name)
    return names


def get_path(body: Any, path: str | None) -> Any:
    """Return what is at a path; None where nothing is, the whole body without a path. Raises TypeError."""
    if not path:
        return body
    if not hasattr(body, "__getitem__"):
        raise TypeError("input_path parameter supports only dict-like event bodies")
    found = body
    for name in split_path(path):
        if not hasattr(found, "get"):
            return None
        found = found.get(name)
        if found is None:
            return None
    return found


def put_path(body: Any, path: str | None, value: Any) -> Any:
    """Return the answer of a step: the body with `value` at the path, or `value` without a path or body.

    Members between are made where there are none. A Response is the whole answer and goes nowhere. Raises TypeError.
    """
    if not path or not body or hasattr(value, "status_code"):
        return value
    if not hasattr(body, "__getitem__") or not hasattr(body, "__setitem__"):
        raise TypeError("result_path parameter supports only dict-like event bodies")
    _set(body, split_path(path), value)
    return body


def _set(body: Any, names: list[str], value: Any) -> None:
    *way, last = names
    place = body
    for name in way:
        member = place.get(name) if hasattr(place, "get") else None
        if not hasattr(member, "__setitem__"):
            member = place[name] = {}
        place = member
    place[last] = value
