"""The table of routes: what a row is, which row a path has, and what the descriptions say of it."""

from mms.http.routing.match import Match
from mms.http.routing.paths import first_values, parse_query, split_path
from mms.http.routing.route import (
    ANY_METHOD,
    ANY_ROLE,
    INFERENCE_ROLE,
    MANAGEMENT_ROLE,
    METRICS_ROLE,
    NO_ROUTE,
    OPEN,
    Found,
    Pattern,
    Route,
    RouteChanged,
    not_found,
)
from mms.http.routing.table import RouteTable

__all__ = [
    "ANY_METHOD",
    "ANY_ROLE",
    "INFERENCE_ROLE",
    "MANAGEMENT_ROLE",
    "METRICS_ROLE",
    "Match",
    "NO_ROUTE",
    "Found",
    "OPEN",
    "Pattern",
    "Route",
    "RouteChanged",
    "RouteTable",
    "first_values",
    "not_found",
    "parse_query",
    "split_path",
]
