"""The page of routes in the documents."""

from __future__ import annotations

from collections.abc import Iterable

from mms.http.routing.route import ANY_METHOD, ANY_ROLE, OPEN, Route


def rows_of_page(routes: Iterable[Route]) -> str:
    """Markdown: a table of the rows that say what they do, in the order in which they count."""
    lines = ["| methods | path | role | |", "|---|---|---|---|"]
    lines += [_line(route) for route in routes if route.operations]
    return "\n".join(lines) + "\n"


def _line(route: Route) -> str:
    methods = "any" if route.methods == ANY_METHOD else ", ".join(route.methods)
    text = " ".join(dict.fromkeys(operation.text for operation in route.operations))
    if any(operation.is_deprecated for operation in route.operations):
        text += " Deprecated."
    if route.fast_path is not None:
        text += " *Fast path.*"
    return f"| {methods} | `{route.parsed.shown}` | {_role(route)} | {text} |"


def _role(route: Route) -> str:
    if route.roles == OPEN:
        return "none"
    if route.roles == ANY_ROLE:
        return "any"
    return " or ".join(role.value for role in route.roles)
