"""`mms.service` and MMS's wire protocol."""

from __future__ import annotations

import json
import logging
import pickle
import struct
from typing import Any

import pytest

from mms.context import Context, RequestProcessor
from mms.metrics.metric import Metric
from mms.protocol.otf_message_handler import (
    create_load_model_response,
    create_predict_response,
    encode_response_headers,
    retrieve_msg,
)
from mms.service import PREDICTION_METRIC, PredictionException, Service, emit_metrics


def number(value: int) -> bytes:
    return struct.pack("!i", value)


def sized(content: bytes) -> bytes:
    return number(len(content)) + content


END = number(-1)


class Connection:
    """Hands out what it was given, a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def recv(self, size: int, /) -> bytes:
        taken = self._content[: min(size, 3)]
        self._content = self._content[len(taken) :]
        return taken


BATCH: list[dict[str, Any]] = [
    {
        "requestId": b"123",
        "headers": [{"name": b"X-A", "value": b"1"}],
        "parameters": [{"name": "xyz", "contentType": "text/csv", "value": "abc"}],
    },
    {"requestId": bytearray(b"456"), "parameters": []},
]


def service(entry_point: Any) -> Service:
    return Service("m", "/dir", None, entry_point, None, 2)


# The protocol


def test_a_load_is_answered_in_these_bytes() -> None:
    response = create_load_model_response(200, "model_loaded")
    assert response == b"\x00\x00\x00\xc8\x00\x00\x00\x0cmodel_loaded\xff\xff\xff\xff"


@pytest.mark.parametrize(("result", "body"), [(["OK"], b"OK"), (None, b"error")])
def test_a_prediction_is_answered_in_these_bytes(result: Any, body: bytes) -> None:
    response = create_predict_response(result, {0: "request_id"}, "success", 200)
    assert response == (
        number(200)
        + sized(b"success")
        + sized(b"request_id")
        + sized(b"")
        + number(200)
        + sized(b"")
        + number(0)
        + sized(body)
        + END
    )


def test_lengths_are_of_bytes_also_for_other_letters() -> None:
    context = Context("m", "/dir", None, 1, None, "1")
    context.request_processor = [RequestProcessor({})]
    context.set_response_content_type(0, "text/plän")
    context.set_response_status(201, "très bien")
    response = create_predict_response([b"\xff"], {0: "i"}, "grün", 200, context)
    assert response == (
        number(200)
        + sized("grün".encode())
        + sized(b"i")
        + sized("text/plän".encode())
        + number(201)
        + sized("très bien".encode())
        + encode_response_headers({"content-type": "text/plän"})
        + sized(b"\xff")
        + END
    )
    assert encode_response_headers({"a": "ü"}) == number(1) + sized(b"a") + sized("ü".encode())


@pytest.mark.parametrize("result", [object(), {1}])
def test_a_result_that_json_cannot_hold_is_a_503(result: Any) -> None:
    response = create_predict_response([result], {0: "i"}, "success", 200)
    assert response.startswith(number(503) + sized(b"Unsupported model output data type."))


def test_a_result_is_json_unless_it_is_text_or_bytes() -> None:
    response = create_predict_response([{"a": 1}], {0: "i"}, "success", 200)
    assert sized(json.dumps({"a": 1}, indent=2).encode()) in response


def load_message(gpu: int) -> bytes:
    head = b"L" + sized(b"name") + sized(b"/path") + number(1) + sized(b"service:handle")
    return head + number(gpu) + sized(b"io")


def test_a_load_is_read() -> None:
    request = {
        "modelName": b"name",
        "modelPath": b"/path",
        "batchSize": 1,
        "handler": b"service:handle",
        "ioFileDescriptor": b"io",
    }
    assert retrieve_msg(Connection(load_message(-1))) == (b"L", request)
    assert retrieve_msg(Connection(load_message(3))) == (b"L", {**request, "gpu": 3})


def batch_message(content_type: bytes, value: bytes) -> bytes:
    headers = sized(b"X-A") + sized(b"1") + END
    parameters = sized(b"name") + sized(content_type) + sized(value) + END
    return b"I" + sized(b"id") + headers + parameters + END


@pytest.mark.parametrize(
    ("content_type", "value", "decoded"),
    [
        (b"application/json", b'{"a": "\xc3\xbc"}', {"a": "ü"}),
        (b"text/plain", "grün".encode(), "grün"),
        (b"", b"\xff", b"\xff"),
    ],
)
def test_a_batch_is_read_and_decoded(
    monkeypatch: pytest.MonkeyPatch, content_type: bytes, value: bytes, decoded: Any
) -> None:
    monkeypatch.delenv("MMS_DECODE_INPUT_REQUEST", raising=False)
    command, batch = retrieve_msg(Connection(batch_message(content_type, value)))
    parameter = {"name": "name", "contentType": content_type.decode(), "value": decoded}
    header = {"name": b"X-A", "value": b"1"}
    assert command == b"I"
    assert batch == [{"requestId": b"id", "headers": [header], "parameters": [parameter]}]
    monkeypatch.setenv("MMS_DECODE_INPUT_REQUEST", "false")
    _, batch = retrieve_msg(Connection(batch_message(content_type, value)))
    assert batch[0]["parameters"][0]["value"] == value  # type: ignore[index]


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid command: "):
        retrieve_msg(Connection(b"X"))


@pytest.mark.parametrize("content", [b"", b"L\x00", load_message(1)[:-1]])
def test_a_connection_that_ends_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="Frontend disconnected"):
        retrieve_msg(Connection(content))


# The service


def test_requests_become_data_and_properties() -> None:
    processors, data, ids = Service.retrieve_data_for_inference(BATCH)
    assert data == [{"xyz": "abc"}, {}]
    assert ids == {0: "123", 1: "456"}
    assert processors[0].get_request_property("xyz")["content-type"] == "text/csv"
    assert processors[0].get_request_property("X-A") == "1"
    assert processors[1].get_request_properties() == {}


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="Received invalid inputs"):
        Service.retrieve_data_for_inference(None)


def test_a_prediction_passes_data_and_context_by_position() -> None:
    def entry_point(one: Any, two: Context) -> list[str]:
        two.set_response_content_type(1, "text/plain")
        return [str(item) for item in one]

    made = service(entry_point)
    response = made.predict(BATCH)
    assert response.startswith(number(200) + sized(b"Prediction success"))
    assert sized(b"{'xyz': 'abc'}") in response
    assert made.context.request_ids == {0: "123", 1: "456"}
    assert made.context.metrics is not None
    (metric,) = made.context.metrics.store
    assert (metric.name, metric.request_id) == (PREDICTION_METRIC, "123,456")


def failing(error: Exception) -> Any:
    def entry_point(data: Any, context: Any) -> Any:
        raise error

    return entry_point


@pytest.mark.parametrize(
    ("entry_point", "code", "message"),
    [
        (failing(PredictionException("own", 599)), 599, b"own"),
        (failing(PredictionException("own")), 500, b"own"),
        (failing(MemoryError()), 507, b"Out of resources"),
        (failing(KeyError()), 503, b"Prediction failed"),
        (lambda data, context: "OK", 503, b"Invalid model predict output"),
        (lambda data, context: [1], 503, b"number of batch response mismatched"),
    ],
)
def test_a_failed_prediction_says_why(entry_point: Any, code: int, message: bytes) -> None:
    assert service(entry_point).predict(BATCH).startswith(number(code) + sized(message))


def test_a_prediction_exception_shows_message_and_code() -> None:
    error = PredictionException("own", 418)
    assert (error.message, error.error_code, str(error)) == ("own", 418, "own : 418")
    assert PredictionException("own").error_code == 500
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.error_code) == ("own", 418)


def test_metrics_are_logged_with_the_mark_that_the_server_knows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        emit_metrics([Metric("a", 1, "ms", [])])
        emit_metrics([])
    (line,) = caplog.messages
    assert line.startswith("[METRICS]a.Milliseconds:1|#|#hostname:")
