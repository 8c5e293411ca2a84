"""The table of routes, by path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

from mms.errors import BadRequest
from mms.http.routing.match import Match
from mms.http.routing.paths import split_path
from mms.http.routing.route import ANY_METHOD, NO_ROUTE, Found, Pattern, Route

if TYPE_CHECKING:
    from mms.http.lane.head import LaneRoute

#: A lane's question is for a path alone; this is the method of nearly all predictions.
_FAST_METHOD = "POST"


class _Resource:
    """The rows of one pattern, in the order of the table, that concern the same values of its variables."""

    def __init__(
        self,
        rank: int,
        pattern: Pattern,
        concerns: Callable[[Mapping[str, str]], bool] | None,
    ) -> None:
        self.rank = rank
        self.pattern = pattern
        self.concerns = concerns
        self.routes: list[Route] = []

    def routes_for(self, method: str) -> list[Route]:
        """Return those that count for a method now."""
        return [route for route in self.routes if route.is_for(method)]


_rank_of = attrgetter("rank")


class _Node:
    """What follows the beginning of a path."""

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        #: Of patterns that end here, and of those with a tail from here on.
        self.ends: list[_Resource] = []
        self.tails: list[_Resource] = []

    def collect(self, segments: list[str], start: int, found: list[_Resource]) -> None:
        found += self.tails
        if start == len(segments):
            found += self.ends
            return
        literal = self.literals.get(segments[start])
        if literal is not None:
            literal.collect(segments, start + 1, found)
        if self.variable is not None:
            self.variable.collect(segments, start + 1, found)


class RouteTable:
    """Rows, and what they make of a path. Rows that come first win."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        resources: dict[tuple[object, ...], _Resource] = {}
        for route in self.routes:
            key = (route.pattern, route.concerns)
            resource = resources.get(key)
            if resource is None:
                resource = _Resource(len(resources), route.parsed, route.concerns)
                resources[key] = resource
                self._add(resource)
            resource.routes.append(route)

    def __repr__(self) -> str:
        return f"<RouteTable of {len(self.routes)} routes>"

    def _add(self, resource: _Resource) -> None:
        node = self._root
        for name, literal in resource.pattern.segments:
            if name is None:
                node = node.literals.setdefault(literal, _Node())
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        (node.ends if resource.pattern.tail is None else node.tails).append(resource)

    def match(self, path: bytes, method: str) -> Found:
        """Return the row of a raw path, NO_ROUTE where there is none. Raises BadRequest for a bad percent-escape."""
        return self.match_segments(split_path(path), method, path)

    def match_segments(self, segments: list[str], method: str, path: bytes = b"") -> Found:
        """Return the same for a path that is cut and decoded."""
        found: list[_Resource] = []
        self._root.collect(segments, 0, found)
        if len(found) > 1:
            found.sort(key=_rank_of)
        for resource in found:
            routes = resource.routes_for(method)
            if not routes:
                continue
            values = resource.pattern.values(segments)
            if resource.concerns is not None and not resource.concerns(values):
                continue
            methods = tuple(name for route in routes for name in route.methods)
            for route in routes:
                if route.serves(method):
                    return Found(route, Match(path, values, methods))
            return Found(routes[0], Match(path, values, methods, is_served=False))
        return NO_ROUTE

    def fast_path(self, path: bytes) -> LaneRoute | None:
        """Return the route of a raw path where the fast path may serve it, with the methods that it may serve."""
        if not path.startswith(b"/"):
            return None
        try:
            route, match = self.match(path, _FAST_METHOD)
        except BadRequest:
            return None
        if route.fast_path is None:
            return None
        found = route.fast_path(match)
        if found is None or found.methods is not None or route.methods == ANY_METHOD:
            return found
        return found._replace(methods=frozenset(name.encode() for name in route.methods))
