"""Features in the place of keys."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from mms.interfaces.mlrun.errors import status_of
from mms.interfaces.mlrun.routers.feature_lookup import (
    CallableLookup,
    HTTPLookup,
    TableLookup,
    enriched,
    filled,
    lookup_of,
)

ROWS = [
    {"user": 1, "age": 30, "income": 1.0},
    {"user": 2, "age": None, "income": 3.0},
    {"user": 3, "age": 40, "income": math.nan},
]


def table() -> TableLookup:
    return TableLookup(ROWS, ["user"])


@pytest.mark.parametrize("entity", [{"user": 1}, {"user": 1, "x": 2}, [1], 1])
def test_a_row_is_found_by_its_key_in_any_form(entity: Any) -> None:
    assert enriched([entity], table()) == [[30, 1.0]]


def test_features_have_the_order_that_is_asked_for() -> None:
    lookup = TableLookup(ROWS, ["user"], names=["income", "age"])
    assert enriched([{"user": 1}], lookup) == [[1.0, 30]]


def test_what_is_missing_is_filled_by_the_policy() -> None:
    policy = {"*": "$mean", "age": 33}
    assert enriched([[1], [2], [3]], table(), policy) == [[30, 1.0], [33, 3.0], [40, 2.0]]


@pytest.mark.parametrize(
    ("policy", "value"),
    [("$mean", 35), ("$max", 40), ("$min", 30), ("$count", 2), (7, 7), ("x", "x")],
)
def test_a_policy_may_be_a_statistic_of_the_feature(policy: Any, value: Any) -> None:
    assert enriched([[2]], table(), {"age": policy}) == [[value, 3.0]]


def test_the_deviation_is_a_policy_too() -> None:
    ((value, _),) = enriched([[2]], table(), {"age": "$std"})
    assert value == pytest.approx(7.0710678)


def test_without_a_policy_what_is_missing_stays_so() -> None:
    assert enriched([[2]], table()) == [[None, 3.0]]


def test_an_unknown_entity_is_refused_unless_a_policy_fills_all() -> None:
    with pytest.raises(ValueError, match=r"no features are known of input \{'user': 9\}") as caught:
        enriched([{"user": 9}], table())
    assert status_of(caught.value, True) == 422
    assert enriched([{"user": 9}], table(), {"*": "$mean"}) == [[35.0, 2.0]]


def test_an_entity_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="an input has no key user"):
        enriched([{"name": 1}], table())


def test_a_statistic_that_nobody_knows_is_refused() -> None:
    lookup = CallableLookup(lambda entities: [[None] for _ in entities], ["age"])
    with pytest.raises(ValueError, match="fills age with \\$mean, which the lookup does not know"):
        enriched([[1]], lookup, {"age": "$mean"})


def test_rows_may_be_dicts_and_features_may_have_no_names() -> None:
    assert filled([1], [{"a": 1, "b": 2}], CallableLookup(lambda _: [], ["b", "a"])) == [[2, 1]]
    assert filled([1], [[5, 6]], CallableLookup(lambda _: [])) == [[5, 6]]


@pytest.mark.parametrize("rows", [[], [[1], [2]], None, {"a": 1}])
def test_a_lookup_gives_a_row_for_each_input(rows: Any) -> None:
    with pytest.raises(ValueError, match="rows for 1 inputs"):
        enriched([[1]], CallableLookup(lambda _: rows))


def test_a_lookup_gives_a_value_for_each_feature() -> None:
    with pytest.raises(ValueError, match="gave 1 values for 2 features"):
        enriched([[1]], CallableLookup(lambda _: [[1]], ["a", "b"]))


def test_a_lookup_is_made_of_what_describes_it() -> None:
    assert isinstance(lookup_of("http://h/x", "v"), HTTPLookup)
    assert lookup_of({"url": "http://h/x", "timeout_s": 2}).timeout_s == 2  # type: ignore[attr-defined]
    assert isinstance(lookup_of(len), CallableLookup)
    assert isinstance(lookup_of({"rows": ROWS, "keys": ["user"]}), TableLookup)
    own = table()
    assert lookup_of(own) is own


@pytest.mark.parametrize(
    ("described", "text"),
    [
        (5, "lookup is 5, must be an object with get"),
        ("ftp://x", "lookup is 'ftp://x'"),
        ({"rows": [], "key": "user"}, "has rows and keys, or url"),
        ({"rows": ROWS}, "needs the names of its key columns"),
        ({"rows": ROWS, "keys": ["id"]}, "a row of the table has no key id"),
    ],
)
def test_what_describes_no_lookup_is_refused(described: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        lookup_of(described)


class Service(BaseHTTPRequestHandler):
    answer: Any = None
    asked: Any = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked = json.loads(body)
        content = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Nothing is written."""


@pytest.fixture
def service() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/features"
        server.shutdown()
        thread.join()


def test_features_may_come_from_a_service(service: str) -> None:
    Service.answer = {
        "outputs": [[30, None]],
        "names": ["age", "income"],
        "statistics": {"income": {"mean": 2.0}},
    }
    assert enriched([{"user": 1}], lookup_of(service, "shop/users"), {"*": "$mean"}) == [[30, 2.0]]
    assert Service.asked == {"inputs": [{"user": 1}], "feature_vector": "shop/users"}


def test_a_service_that_answers_no_rows_is_told_of(service: str) -> None:
    Service.answer = {"error": "x"}
    with pytest.raises(ValueError, match="answered without a list of outputs"):
        enriched([[1]], lookup_of(service))
