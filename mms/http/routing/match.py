"""What a table of routes says of a path besides its row; requests carry it to their handlers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Match(NamedTuple):
    """`path`: as sent, without the query. `values`: by the names of the pattern's variables. `methods`: the path's.

    `is_served`: whether the request's method is one of these.
    """

    path: bytes = b""
    values: Mapping[str, str] = MappingProxyType({})
    methods: tuple[str, ...] = ()
    is_served: bool = True

    @property
    def allowed(self) -> str:
        """The value of an `Allow` header; empty where it has nothing to say."""
        return "" if "*" in self.methods else ", ".join(sorted(set(self.methods)))
