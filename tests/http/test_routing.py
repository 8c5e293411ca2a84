"""The table of routes: which row a path has, and what the server makes of the row."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest

from mms.errors import BadRequest
from mms.http.apis.inference import InferenceApi
from mms.http.lane.head import LaneRoute
from mms.http.routing import (
    ANY_METHOD,
    ANY_ROLE,
    INFERENCE_ROLE,
    MANAGEMENT_ROLE,
    METRICS_ROLE,
    NO_ROUTE,
    OPEN,
    Pattern,
    Route,
    RouteTable,
    not_found,
)


def row(pattern: str, *methods: str, **more: Any) -> Route:
    return Route(methods or ANY_METHOD, pattern, not_found, **more)


def found(table: RouteTable, path: str, method: str = "GET") -> tuple[str, dict[str, str]]:
    route, match = table.match(path.encode(), method)
    return route.pattern, dict(match.values)


# Patterns


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/models/m/1", {"name": "m", "version": "1"}),
        ("/models/a%2Fb/1/", {"name": "a/b", "version": "1"}),
        ("/%6Dodels/m/1", {"name": "m", "version": "1"}),
        ("/models//1", {"name": "", "version": "1"}),
        ("/models/m", None),
        ("/models/m/1/2", None),
    ],
)
def test_a_variable_is_one_segment_cut_before_it_is_decoded(path, values):
    table = RouteTable([row("/models/{name}/{version}")])
    found = table.match(path.encode(), "GET")
    assert (None if found is NO_ROUTE else found.match.values) == values


@pytest.mark.parametrize(("path", "tail"), [("/a", ""), ("/a/b", "b"), ("/a/b%20c/d//", "b c/d")])
def test_a_tail_is_all_further_segments_or_none(path, tail):
    assert found(RouteTable([row("/a/{tail:.*}")]), path) == ("/a/{tail:.*}", {"tail": tail})


def test_a_tail_stands_at_the_end():
    with pytest.raises(ValueError, match="not at the end"):
        Pattern("/{tail:.*}/more")


def test_braces_in_a_literal_are_no_variable():
    table = RouteTable([row("/%7Bx%7D")])
    assert table.match(b"/{x}", "GET").route.pattern == "/%7Bx%7D"
    assert table.match(b"/y", "GET") is NO_ROUTE


def test_a_broken_percent_escape_is_a_bad_request():
    with pytest.raises(BadRequest, match="percent-escape"):
        RouteTable([]).match(b"/%zz", "GET")


# Precedence


def test_of_two_patterns_the_first_decides_whatever_its_methods():
    table = RouteTable([row("/m/{name}/drift", "GET"), row("/m/{name}/{version}", "GET", "PUT")])
    route, match = table.match(b"/m/a/drift", "PUT")
    assert (route.pattern, match.is_served, match.allowed) == (
        "/m/{name}/drift",
        False,
        "GET",
    )
    assert found(table, "/m/a/b", "PUT")[0] == "/m/{name}/{version}"


def test_the_rows_of_a_pattern_are_the_methods_of_its_paths():
    table = RouteTable([row("/m", "GET", "HEAD"), row("/other"), row("/m", "POST")])
    assert table.match(b"/m", "POST").route.methods == ("POST",)
    assert table.match(b"/m", "PUT").match.allowed == "GET, HEAD, POST"


def test_a_row_that_does_not_apply_leaves_its_path_to_the_next_one():
    is_there = False
    table = RouteTable([row("/{tail:.*}", applies=lambda method: is_there), row("/a")])
    assert found(table, "/a")[0] == "/a"
    assert table.match(b"/b", "GET") is NO_ROUTE
    is_there = True
    assert found(table, "/a")[0] == "/{tail:.*}"


def test_where_any_method_is_served_allow_has_nothing_to_say():
    assert RouteTable([row("/a")]).match(b"/a", "PATCH").match.allowed == ""


# The fast path


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([row("/a")], None),
        ([row("/a", fast_path=lambda match: LaneRoute("m"))], LaneRoute("m")),
        (
            [row("/a", "POST", fast_path=lambda match: LaneRoute("m"))],
            LaneRoute("m", methods=frozenset((b"POST",))),
        ),
        (
            [row("/a", "OPTIONS"), row("/a", fast_path=lambda match: LaneRoute("m"))],
            LaneRoute("m"),
        ),
        # A plugin's row, say, comes before that of a prediction.
        ([row("/{x}"), row("/a", fast_path=lambda match: LaneRoute("m"))], None),
    ],
)
def test_the_fast_path_serves_what_its_row_lets_it(routes, expected):
    assert RouteTable(routes).fast_path(b"/a") == expected


@pytest.mark.parametrize("path", [b"a", b"*", b"/%zz", b"http://h/a"])
def test_the_fast_path_leaves_odd_paths_alone(path):
    table = RouteTable([row("/{tail:.*}", fast_path=lambda match: LaneRoute("m"))])
    assert table.fast_path(path) is None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/predictions/m", LaneRoute("m")),
        ("/predictions/m/2", LaneRoute("m", "2")),
        ("/predictions/m/2/more", LaneRoute("m", "2")),
        ("/predictions//2", LaneRoute("", "2")),
        ("/models/m/invoke", LaneRoute("m", passes_query=True)),
        ("/m/predict", LaneRoute("m", passes_query=True)),
        ("/invocations", None),
        ("/predictions", None),
        ("/invocations/x", None),
        ("/models/m/other", None),
        ("/m/other", None),
        ("/models", None),
        ("/", None),
    ],
)
def test_a_path_is_a_prediction_or_is_none(path, route):
    api = InferenceApi(None, None, is_strict_ping=False)  # type: ignore[arg-type]
    table = RouteTable(api.routes())
    assert table.fast_path(path.encode()) == route
    is_prediction = route is not None or path == "/invocations"
    assert (table.match(path.encode(), "POST").route.roles == INFERENCE_ROLE) is is_prediction


# Roles


ROLES = {
    **dict.fromkeys(("/ping", "/ping/x", "/livez", "/readyz", "/startupz"), OPEN),
    **dict.fromkeys(("/v2/health", "/v2/health/ready"), OPEN),
    **dict.fromkeys(("/ready", "/live", "/health/ping"), OPEN),
    **dict.fromkeys(("/seldon/c/ready", "/models/m/ready", "/models/m/1/ready"), ANY_ROLE),
    **dict.fromkeys(("/", "/api-description", "/openapi.json", "/absent/one"), ANY_ROLE),
    **dict.fromkeys(("/metrics", "/prometheus"), METRICS_ROLE),
    **dict.fromkeys(("/models", "/models/m", "/models/m/1", "/models/"), MANAGEMENT_ROLE),
    **dict.fromkeys(("/models/m/drift", "/models/m/1/set-default"), MANAGEMENT_ROLE),
    **dict.fromkeys(("/predictions/m", "/invocations", "/m/predict"), INFERENCE_ROLE),
    **dict.fromkeys(("/models/m/invoke", "/predict", "/api/v1.0/absent"), INFERENCE_ROLE),
    **dict.fromkeys(("/seldon/c/predict", "/v2/models", "/v2/models/m/x"), INFERENCE_ROLE),
}


async def test_a_route_needs_the_role_of_its_row(make_bench):
    bench = await make_bench()
    bench.host.change_interfaces(c="seldon")
    (listener,) = bench.front._listeners
    for (path, roles), method in itertools.product(ROLES.items(), ("GET", "POST", "DELETE")):
        assert listener.table.match(path.encode(), method).route.roles == roles, path


async def test_a_path_of_a_header_needs_the_role_of_its_own_row(make_bench):
    bench = await make_bench(mlrun_event_headers=True)
    (listener,) = bench.front._listeners
    found = listener.table.match(b"/v2/health", "POST")
    headers = {"MLRUN-EVENT-PATH": "/v2/models/m/infer"}
    request = SimpleNamespace(method="POST", headers=headers)
    led = found.route.leads_on(request, found)
    assert (found.route.roles, led.route.roles) == (OPEN, INFERENCE_ROLE)
    headers["MLRUN-EVENT-PATH"] = "/models"
    assert found.route.leads_on(request, found).route.roles == INFERENCE_ROLE


# What clients see of it


def allowed(head: bytes) -> str | None:
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "allow":
            return value
    return None


REFUSED = [
    ("PUT", "/models", "GET, POST"),
    ("POST", "/models/m", "DELETE, GET, PUT"),
    ("PUT", "/models/m/drift", "GET"),
    ("POST", "/models/m/1/set-default", "PUT"),
    ("POST", "/metrics", "GET, HEAD"),
    ("POST", "/livez", "GET, HEAD, OPTIONS"),
    ("GET", "/", "OPTIONS"),
    ("GET", "/api-description/x", None),
]


async def test_a_405_says_which_methods_there_are(bench):
    for method, path, methods in REFUSED:
        status, head, body = await bench.call(method, path)
        assert (status, allowed(head)) == (405, methods), path
        assert json.loads(body)["type"] == "MethodNotAllowedException"


async def test_a_preflight_says_which_methods_there_are(make_bench):
    bench = await make_bench(cors_allowed_origin="https://example.org")
    ask = "Access-Control-Request-Method: DELETE"
    status, head, _ = await bench.call("OPTIONS", "/models/m", b"", ask)
    assert (status, allowed(head)) == (200, "DELETE, GET, PUT")
    status, head, _ = await bench.call("OPTIONS", "/absent", b"", ask)
    assert (status, allowed(head)) == (200, None)


async def test_a_plugin_leaves_options_to_the_server(make_bench, tmp_path):
    (tmp_path / "plugin.py").write_text(
        "class Ping:\n    url_pattern = 'ping'\n    endpoint_type = 'INFERENCE'\n"
        "    def do_get(self, request, response, context):\n        response.body.write(b'mine')\n"
        "endpoints = [Ping()]\n"
    )
    bench = await make_bench(plugins_path=str(tmp_path))
    for path in ("/ping", "/ping/deeper"):
        assert (await bench.call("GET", path))[2] == b"mine"
        assert json.loads((await bench.call("OPTIONS", path))[2]) == {"status": "Healthy"}


async def test_a_version_whose_name_is_a_route_s_word_can_be_scaled(bench):
    assert (await bench.call("PUT", "/models/m/all?min_worker=1"))[0] == 210
    assert bench.host.scaled == [("m", "all", 1, 1, False)]


def test_rows_of_one_pattern_may_concern_different_values() -> None:
    first = Route(
        ("POST",), "/t/{name}", not_found, concerns=lambda values: values["name"].startswith("a")
    )
    rest = Route(ANY_METHOD, "/t/{name}", not_found)
    table = RouteTable([first, rest])
    assert table.match(b"/t/ab", "POST").route is first
    assert table.match(b"/t/b", "POST").route is rest
    found = table.match(b"/t/ab", "GET")
    assert (found.route, found.match.is_served, found.match.allowed) == (first, False, "POST")
