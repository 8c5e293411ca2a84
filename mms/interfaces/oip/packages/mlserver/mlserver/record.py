"""Objects of members with names, made of keywords or of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

_R = TypeVar("_R", bound="Record")


class Record:
    """`_members`: the defaults by name. `_kinds`: what a mapping there becomes, alone or in a list."""

    _members: ClassVar[Mapping[str, Any]] = {}
    _kinds: ClassVar[Mapping[str, Any]] = {}
    #: Whether it takes members besides.
    _is_open: ClassVar[bool] = False

    def __init__(self, /, **members: Any) -> None:
        """Raises TypeError for a member that it does not have."""
        unknown = [name for name in members if name not in self._members]
        if unknown and not self._is_open:
            known = ", ".join(self._members)
            raise TypeError(f"{type(self).__name__} has no {unknown[0]}; it has {known}")
        for name, default in {**self._members, **members}.items():
            value = members.get(name, default)
            setattr(self, name, list(value) if isinstance(value, tuple) else value)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self._kinds.get(name)
        if kind is not None:
            if isinstance(value, list):
                value = [kind(**each) if isinstance(each, Mapping) else each for each in value]
            elif isinstance(value, Mapping):
                value = kind(**value)
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]  # they change

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"

    def model_dump(self, *, exclude_none: bool = False, **options: Any) -> dict[str, Any]:
        """Return the members as JSON has them, those without underscore."""
        return {
            name: _plain(value, exclude_none)
            for name, value in vars(self).items()
            if not name.startswith("_") and not (exclude_none and value is None)
        }

    def model_dump_json(self, **options: Any) -> str:
        return json.dumps(self.model_dump(**options), default=_text)

    @classmethod
    def model_validate(cls: type[_R], members: Mapping[str, Any]) -> _R:
        return cls(**members)

    @classmethod
    def model_validate_json(cls: type[_R], text: str | bytes) -> _R:
        return cls(**json.loads(text))

    def model_copy(self: _R, *, update: Mapping[str, Any] | None = None, **options: Any) -> _R:
        copied = type(self)(**{k: v for k, v in vars(self).items() if not k.startswith("_")})
        for name, value in (update or {}).items():
            setattr(copied, name, value)
        return copied

    # As older releases have them.
    dict = model_dump
    json = model_dump_json
    copy = model_copy
    parse_obj = model_validate
    parse_raw = model_validate_json


def _plain(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, Record):
        return value.model_dump(exclude_none=exclude_none)
    if hasattr(value, "root"):
        return value.root
    if isinstance(value, list):
        return [_plain(each, exclude_none) for each in value]
    return value


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
