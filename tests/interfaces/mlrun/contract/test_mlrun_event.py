"""Events, responses and the switches of a server."""

from __future__ import annotations

import copy
import datetime
import re

import pytest

from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger, Response, header_of, new_id
from mms.interfaces.mlrun.model.options import DEFAULT_OPTIONS, ServingOptions


def test_an_event_has_what_mlruns_and_nuclios_events_have() -> None:
    event = MockEvent()
    assert (event.key, event.body, event.headers, event.method) == ("", None, {}, None)
    assert (event.path, event.content_type, event.error, event.offset) == ("/", None, None, 0)
    assert (event.trigger.kind, event.trigger.name) == ("", "")
    assert (event.fields, event.url, event.size, event.shard_id) == ({}, "", 0, 0)
    assert (event.num_shards, event.type, event.type_version) == (1, "", "")
    assert (event.version, event.last_in_batch, event.topic) == ("", False, "")
    assert isinstance(event.timestamp, datetime.datetime)


def test_an_event_without_an_id_gets_one_of_its_own() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", MockEvent().id)
    assert MockEvent().id != MockEvent().id
    assert MockEvent(event_id="e1").id == "e1"


def test_new_ids_are_random_uuids() -> None:
    number = new_id()
    assert number[12] == "4"
    assert number[16] in "89ab"


def test_attributes_of_anyones_own_may_hang_on_an_event() -> None:
    event = MockEvent()
    event.visits = 3  # type: ignore[attr-defined]
    assert copy.copy(event).visits == 3  # type: ignore[attr-defined]


def test_fields_of_one_event_are_not_those_of_another() -> None:
    event = MockEvent()
    event.fields["a"] = "1"
    assert MockEvent().fields == {}
    event.fields = {"b": "2"}
    assert event.fields == {"b": "2"}


def test_headers_are_found_however_they_are_written() -> None:
    event = MockEvent(headers={"X-Trace": "t", "MLRUN-EVENT-ID": "e"})
    assert event.get_header("x-trace") == "t"
    assert event.get_header("mlrun-event-id") == "e"
    assert event.get_header("other") is None
    assert header_of(event, "other", "default") == "default"


def test_the_size_of_an_event_is_that_of_its_undecoded_body() -> None:
    assert MockEvent(body=b"12345").size == 5
    assert MockEvent(body={"a": 1}).size == 0


def test_a_trigger_has_a_kind_and_a_name() -> None:
    event = MockEvent(trigger=MockTrigger("stream", "s1"))
    assert (event.trigger.kind, event.trigger.name) == ("stream", "s1")


def test_a_response_is_plain_text_with_status_200_by_default() -> None:
    response = Response(body="x")
    assert (response.status_code, response.content_type, response.headers) == (
        200,
        "text/plain",
        {},
    )


def test_by_default_a_client_decides_neither_route_nor_what_is_read() -> None:
    options = DEFAULT_OPTIONS
    assert not (options.data_url or options.body_operation or options.event_headers)
    assert (options.strict_status, options.nan_policy) == (False, "null")


def test_an_unknown_nan_policy_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="nan_policy is 'drop', .* null, keep, error"):
        ServingOptions(nan_policy="drop")
