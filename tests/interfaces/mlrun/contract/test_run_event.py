"""One event from what a client sent to what it gets."""

from __future__ import annotations

import datetime
import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mms.interfaces.mlrun.errors import MLRunNotFoundError, with_strict_status
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger, Response
from mms.interfaces.mlrun.model.options import ServingOptions
from mms.interfaces.mlrun.model.request_body import parse_body
from mms.interfaces.mlrun.model.running import run_event


def seen(event: MockEvent, **more: Any) -> Any:
    """The body that a graph would get."""
    found: list[Any] = []

    def run(event: Any) -> Any:
        found.append(event.body)
        return event

    answer = run_event(run, event, quiet(), **more)
    return found[0] if found else answer


def answering(value: Any) -> Callable[[Any], Any]:
    def run(event: Any) -> Any:
        event.body = value
        return event

    return run


def raising(error: Exception) -> Callable[[Any], Any]:
    def run(event: Any) -> Any:
        raise error

    return run


def quiet(**options: Any) -> GraphContext:
    context = GraphContext(level="error", options=ServingOptions(**options))
    context.logger.set_logger_level("critical")
    return context


# Bodies


@pytest.mark.parametrize(
    ("body", "content_type", "default", "expected"),
    [
        ({"a": 1}, None, None, {"a": 1}),
        ("[1,2]", None, None, [1, 2]),
        (b"[1,2]", "application/json", None, [1, 2]),
        ("[1,2]", "json", None, [1, 2]),
        ("[1,2]", "application/json; charset=utf-8", None, [1, 2]),
        ("[1,2]", "Application/JSON", None, [1, 2]),
        ("[1,2]", "application/text", None, "[1,2]"),
        ("xx [1,2]", None, None, "xx [1,2]"),
        (b"", None, None, b""),
        (None, "application/json", None, None),
        ("[1,2]", None, "application/json", [1, 2]),
        ("[1,2]", "text/plain", "application/json", "[1,2]"),
    ],
)
def test_a_body_is_decoded_by_its_type_and_where_there_is_none_by_trying(
    body: Any, content_type: str | None, default: str | None, expected: Any
) -> None:
    event = MockEvent(body=body, content_type=content_type)
    assert seen(event, default_content_type=default) == expected


def test_text_that_says_it_is_json_and_is_none_is_refused() -> None:
    found = seen(MockEvent(body="xx [1,2]", content_type="application/json"))
    assert (found.status_code, found.content_type) == (400, "text/plain")
    assert found.body.startswith("failed to json decode event, Expecting value: line 1 column 1")


def test_the_id_may_come_in_a_header_however_it_is_written() -> None:
    event = MockEvent(headers={"Mlrun-Event-Id": "h1"}, event_id="e1")
    run_event(answering({}), event, quiet())
    assert event.id == "h1"


def test_a_header_leads_elsewhere_only_where_that_is_allowed() -> None:
    for is_allowed, path in ((False, "/a"), (True, "/b")):
        event = MockEvent(headers={"mlrun-event-path": "/b"}, path="/a")
        run_event(answering({}), event, quiet(event_headers=is_allowed))
        assert event.path == path


@pytest.mark.parametrize("kind", ["kafka", "kafka-cluster", "v3ioStream", "rabbit-mq"])
def test_an_event_of_a_stream_is_routed_by_its_body(kind: str) -> None:
    event = MockEvent(path="topic-1", trigger=MockTrigger(kind))
    run_event(answering({}), event, quiet())
    assert (event.path, event.stream_path) == ("/", "topic-1")


# Answers


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ({"a": 1}, "application/json", b'{"a":1}'),
        ([1], "application/json", b"[1]"),
        ({}, "application/json", b"{}"),
        ([], "application/json", b"[]"),
        (0, "application/json", b"0"),
        ("text", "text/plain", "text"),
        ("", "text/plain", ""),
        (None, "text/plain", ""),
        (b"\x00", "application/octet-stream", b"\x00"),
        ({"a": np.arange(2)}, "application/json", b'{"a":[0,1]}'),
        (np.float32(0.5), "application/json", b"0.5"),
        ({"t": datetime.date(2024, 1, 2)}, "application/json", b'{"t":"2024-01-02"}'),
    ],
)
def test_an_answer_is_written_by_what_it_is(value: Any, content_type: str, body: Any) -> None:
    found = run_event(answering(value), MockEvent(), quiet())
    assert (found.status_code, found.content_type, found.body) == (200, content_type, body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": np.arange(2)}, {"a": [0, 1]}),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        ("6", "6"),
        (b"x", b"x"),
        (None, None),
        ([], []),
        (0, 0),
        (7, 7),
    ],
)
def test_the_harness_has_the_body_that_a_client_reads(value: Any, expected: Any) -> None:
    found = run_event(answering(value), MockEvent(), quiet(), get_body=True)
    assert found == expected
    assert type(found) is type(expected)


def test_an_answer_in_pieces_is_handed_on() -> None:
    pieces = iter(["a", "b"])
    assert run_event(answering(pieces), MockEvent(), quiet(), get_body=True) is pieces
    assert run_event(answering(pieces), MockEvent(), quiet()).body is pieces


@pytest.mark.parametrize("get_body", [True, False])
def test_what_has_no_json_form_is_an_error_in_the_harness_as_in_the_server(get_body: bool) -> None:
    found = run_event(answering({"a": object()}), MockEvent(), quiet(), get_body=get_body)
    assert (found.status_code, found.content_type) == (500, "text/plain")
    assert found.body == "TypeError: Object of type object is not JSON serializable"


def test_numbers_without_json_go_by_the_policy() -> None:
    value = {"outputs": [math.nan]}
    bodies = {
        policy: run_event(answering(value), MockEvent(), quiet(nan_policy=policy))
        for policy in ("null", "keep", "error")
    }
    assert bodies["null"].body == b'{"outputs":[null]}'
    assert bodies["keep"].body == b'{"outputs":[NaN]}'
    assert bodies["error"].status_code == 500
    assert "not JSON compliant" in bodies["error"].body


def test_a_response_of_the_models_own_goes_as_it_is() -> None:
    own = Response(headers={"a": "b"}, body="made", content_type="text/x", status_code=201)
    assert run_event(answering(own), MockEvent(), quiet()) is own


def test_a_response_of_nuclios_class_goes_as_it_is() -> None:
    class Foreign:
        status_code = 202
        body = "x"
        content_type = "text/plain"

    own = Foreign()
    assert run_event(answering(own), MockEvent(), quiet(), get_body=True) is own


def test_a_response_with_a_dict_is_written_as_json() -> None:
    own = Response(body={"a": np.int64(1)}, status_code=201)
    found = run_event(answering(own), MockEvent(), quiet())
    assert (found.status_code, found.body, found.content_type) == (
        201,
        b'{"a":1}',
        "application/json",
    )


def test_a_response_with_a_dict_keeps_a_content_type_of_its_own() -> None:
    own = Response(body={"a": 1}, content_type="application/problem+json", status_code=409)
    found = run_event(answering(own), MockEvent(), quiet())
    assert (found.body, found.content_type) == (b'{"a":1}', "application/problem+json")


def test_a_response_with_what_has_no_json_form_is_an_error() -> None:
    found = run_event(answering(Response(body={"a": object()})), MockEvent(), quiet())
    assert found.status_code == 500


# Errors


class Sink:
    def __init__(self) -> None:
        self.records: list[Any] = []

    def push(self, record: Any) -> None:
        self.records.append(record)


def test_an_exception_is_a_text_with_its_class() -> None:
    found = run_event(raising(ValueError("bad")), MockEvent(), quiet())
    assert (found.status_code, found.content_type, found.body) == (
        400,
        "text/plain",
        "ValueError: bad",
    )
    assert isinstance(found.error, ValueError)


def test_a_status_of_its_own_is_kept() -> None:
    assert run_event(raising(MLRunNotFoundError("x")), MockEvent(), quiet()).status_code == 404


def test_strict_statuses_are_a_switch() -> None:
    context = quiet(strict_status=True)
    assert run_event(raising(ValueError("x")), MockEvent(), context).status_code == 500
    error = with_strict_status(RuntimeError("not ready"), 503)
    found = run_event(raising(error), MockEvent(), context)
    assert (found.status_code, found.headers) == (503, {"Retry-After": "5"})
    assert run_event(raising(error), MockEvent(), quiet()).headers == {}


def test_an_exception_is_logged_with_its_traceback_and_told_to_the_error_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = GraphContext()
    context.error_stream = sink = Sink()
    run_event(raising(ValueError("bad")), MockEvent(body={"x": 1}), context)
    assert "Traceback" in capsys.readouterr().out
    (record,) = sink.records
    assert (record["source"], record["event"]["body"]) == ("_handler", {"x": 1})
    assert record["message"].startswith("ValueError: bad\nTraceback")


def test_what_a_client_did_wrong_is_logged_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = with_strict_status(ValueError("no such model"), 404)
    run_event(raising(error), MockEvent(), GraphContext())
    assert capsys.readouterr().out.endswith("[error] ValueError: no such model\n")


def test_a_client_sees_the_traceback_of_a_verbose_server_alone() -> None:
    context = quiet()
    assert "Traceback" not in run_event(raising(ValueError("x")), MockEvent(), context).body
    context.verbose = True
    assert (
        "ValueError: x\nTraceback" in run_event(raising(ValueError("x")), MockEvent(), context).body
    )


def test_it_runs_without_a_context() -> None:
    assert run_event(answering({"a": 1}), MockEvent()).body == b'{"a":1}'
    assert run_event(raising(ValueError("x")), MockEvent()).status_code == 400


# Bodies behind a router


def test_a_body_is_json_whatever_its_type_says() -> None:
    event = MockEvent(body=b'{"inputs": [1]}', content_type="text/plain")
    assert parse_body(event) == {"inputs": [1]}
    assert parse_body(MockEvent(body=[1])) == [1]


def test_an_image_is_an_input_file() -> None:
    (file,) = parse_body(MockEvent(body=b"\x89PNG", content_type="image/png"))["inputs"]
    assert isinstance(file, io.BytesIO)
    assert file.read() == b"\x89PNG"
    v1 = parse_body(MockEvent(body=b"\x89PNG", content_type="image/png"), protocol="v1")
    assert list(v1) == ["instances"]


@pytest.mark.parametrize("body", [b"\x89PNG", "text", b"5", b'"x"', 5])
def test_a_body_that_is_neither_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match="^Unrecognized request format$"):
        parse_body(MockEvent(body=body, content_type="text/plain"))


def test_no_client_has_a_file_or_address_read_unless_that_is_allowed() -> None:
    with pytest.raises(ValueError, match="data_url is not read here"):
        parse_body(MockEvent(body=json.dumps({"data_url": "/etc/passwd"}).encode()))
