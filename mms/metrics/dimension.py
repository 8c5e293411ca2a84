"""A dimension of a metric."""

from __future__ import annotations


class Dimension:
    """A name and a value that tell a metric from others of its name."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        return f"Dimension({self.name!r}, {self.value!r})"

    def to_dict(self) -> dict[str, str]:
        return {"Name": self.name, "Value": self.value}
