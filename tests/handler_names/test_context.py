"""`mms.context`, as handlers and their tests use it."""

from __future__ import annotations

import pytest

from mms.context import Context, RequestProcessor, RequestProcessors
from mms.metrics.metrics_store import MetricsStore


def make_context() -> Context:
    return Context("model", "/dir", {"model": {}}, 4, 0, "2.0")


@pytest.fixture
def context() -> Context:
    """In a batch of two, made by hand as MMS's own tests do."""
    made = make_context()
    made.request_ids = {0: "first", 1: "second"}
    made.request_processor = [
        RequestProcessor({"Content-Type": "a/b", "body": {"content-type": "a/b"}}),
        RequestProcessor({}),
    ]
    return made


def test_a_new_context_knows_its_model_and_no_request() -> None:
    context = make_context()
    assert context.model_name == "model"
    assert context.manifest == {"model": {}}
    assert context.system_properties == {
        "model_dir": "/dir",
        "gpu_id": 0,
        "batch_size": 4,
        "server_name": "MMS",
        "server_version": "2.0",
    }
    assert context.request_ids is None
    assert context.request_processor is None
    assert context.metrics is None
    assert context.get_request_id() is None
    assert not context.cancelled


def test_requests_are_asked_for_by_index(context: Context) -> None:
    assert context.get_request_id() == "first"
    assert context.get_request_id(1) == "second"
    assert context.get_request_id(2) is None
    assert context.get_request_header(0, "Content-Type") == "a/b"
    assert context.get_request_header(1, "Content-Type") is None
    assert context.get_all_request_header(0)["body"] == {"content-type": "a/b"}


def test_a_header_is_found_exactly_and_else_in_any_case() -> None:
    processor = RequestProcessor({"X-A": "exact", "x-a": "lower", "X-B": "1", "body": {}})
    assert processor.get_request_property("X-A") == "exact"
    assert processor.get_request_property("x-a") == "lower"
    assert processor.get_request_property("x-b") == "1"
    assert processor.get_request_property("BODY") is None
    assert processor.get_request_property(17) is None  # type: ignore[arg-type]


def test_answers_are_set_by_index(context: Context) -> None:
    assert context.get_response_status(0) == (200, None)
    context.set_response_status(code=404, phrase="Not here", idx=1)
    assert context.get_response_status(0) == (200, None)
    assert context.get_response_status(1) == (404, "Not here")
    context.set_all_response_status(503)
    assert [context.get_response_status(i) for i in range(2)] == [(503, "")] * 2
    context.set_response_content_type(0, "text/plain")
    context.set_response_header(0, "X-A", "1")
    context.set_response_header(0, "X-A", "2")
    assert context.get_response_content_type(0) == "text/plain"
    assert context.get_response_headers(0) == {"content-type": "text/plain", "X-A": "2"}
    assert context.get_response_content_type(1) is None


def test_processors_and_metrics_are_found_by_the_names_that_mms_has_for_them() -> None:
    context = make_context()
    assert (context._request_processor, context._metrics) == (None, None)
    context._begin([b"a" * 36], ["text/plain"], [b"X-A\n1"])
    assert context._request_processor is context.request_processor
    assert context._request_processor[0]._request_header["X-A"] == "1"
    assert context._metrics is context.metrics
    context._request_processor[0].report_status(404, "Not here")
    assert context.get_response_status(0) == (404, "Not here")
    context._metrics = store = MetricsStore({}, "model")
    assert context.metrics is store


def test_a_status_may_be_set_before_there_are_requests() -> None:
    make_context().set_response_status(500)


def test_a_header_before_there_are_requests_is_an_error_that_says_so() -> None:
    with pytest.raises(RuntimeError, match="being loaded"):
        make_context().set_response_header(0, "X-A", "1")


def test_contexts_are_compared_by_all_that_they_hold(context: Context) -> None:
    other = make_context()
    assert context != other
    other.request_ids = context.request_ids
    other.request_processor = context.request_processor
    assert context == other
    other.metrics = MetricsStore({}, "model")
    assert context != other
    assert make_context() != Context("model", "/dir", {"model": {}}, 5, 0, "2.0")
    assert make_context() != "a context"


def test_a_handler_may_keep_things_on_the_context() -> None:
    context = make_context()
    context.own = 1  # type: ignore[attr-defined]
    assert context != make_context()


def test_the_list_of_processors_takes_the_calls_meant_for_one() -> None:
    """The template of MMS's documentation reports its own errors so."""
    processors = RequestProcessors([RequestProcessor({"X-A": "1"}), RequestProcessor({})])
    processors.report_status(500, "Unknown inference error")
    processors.add_response_property("X-B", "2")
    for processor in processors:
        assert processor.get_response_status_code() == 500
        assert processor.get_response_status_phrase() == "Unknown inference error"
        assert processor.get_response_header("X-B") == "2"
    assert processors.get_request_property("x-a") == "1"
    assert processors.get_request_properties() == {"X-A": "1"}
    assert processors.get_response_status_code() == 500
    assert processors.get_response_status_phrase() == "Unknown inference error"
    assert processors.get_response_headers() == {"X-B": "2"}
    assert processors.get_response_header("X-B") == "2"
    assert isinstance(processors, list)
