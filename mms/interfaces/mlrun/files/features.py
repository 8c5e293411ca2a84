"""Columns of a model's inputs and outputs, as its model_spec names them."""

from __future__ import annotations

from typing import Any

#: The members of a feature's document, in their order.
_MEMBERS = (
    *("name", "description", "value_type", "dims", "default", "labels", "aggregate", "validator"),
    "origin",
)


class Feature:
    """One column. `value_type`: its type's name, such as `float`, `int`, `str`."""

    def __init__(
        self,
        value_type: Any = None,
        dims: list[int] | None = None,
        description: str | None = None,
        aggregate: bool | None = None,
        name: str | None = None,
        validator: Any = None,
        default: Any = None,
        labels: dict[str, Any] | None = None,
        origin: str | None = None,
        **_: Any,
    ) -> None:
        self.name = name or ""
        self.value_type = getattr(value_type, "__name__", value_type) or "str"
        self.dims = dims
        self.shape = None
        self.description = description
        self.default = default
        self.labels = labels or {}
        self.aggregate = aggregate
        self.validator = validator
        self.origin = origin

    def __repr__(self) -> str:
        return f"<Feature {self.name}, {self.value_type}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Feature) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # its members may be changed

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Feature:
        return cls(**document)

    def to_dict(self, fields: list[str] | None = None, exclude: Any = None) -> dict[str, Any]:
        """Return its members that have a value."""
        found = {name: getattr(self, name) for name in fields or _MEMBERS}
        return {
            name: value.to_dict() if hasattr(value, "to_dict") else value
            for name, value in found.items()
            if value not in (None, "", {}, []) and name not in (exclude or ())
        }


class Features(list[Feature]):
    """Features in their order: a list of them, by name as well as by number."""

    def __init__(self, features: Any = None) -> None:
        """`features`: Feature objects, their documents or names; a dict of them by name. Raises TypeError."""
        super().__init__()
        if isinstance(features, dict):
            features = [
                {"name": name, **member} if isinstance(member, dict) else member
                for name, member in features.items()
            ]
        for feature in features or ():
            self.append(feature)

    def __repr__(self) -> str:
        return f"<Features {', '.join(self.keys()) or 'none'}>"

    def __contains__(self, name: object) -> bool:
        return any(feature is name or feature.name == name for feature in self)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for feature in self:
            if feature.name == key:
                return feature
        raise KeyError(key)

    def append(self, feature: Any) -> None:
        if isinstance(feature, str):
            feature = Feature(name=feature)
        elif isinstance(feature, dict):
            feature = Feature.from_dict(feature)
        if not hasattr(feature, "to_dict"):
            raise TypeError(
                f"a feature is a dict with its name and value_type, not {type(feature).__name__}"
            )
        super().append(feature)

    def keys(self) -> list[str]:
        return [feature.name for feature in self]

    def values(self) -> list[Feature]:
        return list(self)

    def items(self) -> list[tuple[str, Feature]]:
        return [(feature.name, feature) for feature in self]

    def to_dict(self) -> list[dict[str, Any]]:
        return [feature.to_dict() for feature in self]
