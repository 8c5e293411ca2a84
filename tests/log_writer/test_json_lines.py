from __future__ import annotations

import json
from typing import Any

import pytest

from mms.log_writer.json_lines import LOGGERS_OF_FILES, as_json
from mms.log_writer.lines import BY_TIME, STDOUT, Lines, plain_lines, written_out
from mms.observe import logger_names
from mms.observe.log_files.setup import OUTPUTS, LogFile

AT_MS = 1_795_238_367_372
SERVER_LOG = OUTPUTS[LogFile.MMS] | STDOUT | BY_TIME
DATE = "2026-11-21T05:19:27,372"


def objects(lines: Lines, output: int) -> list[Any]:
    texts = [data for outputs, data, _ in written_out(as_json([lines])) if outputs & output]
    return [json.loads(line) for text in texts for line in text.decode().splitlines()]


def access(message: str) -> Lines:
    copy = f"{DATE} [INFO ] main ACCESS_LOG - "
    forms = ((OUTPUTS[LogFile.ACCESS], f"{DATE} - ", ""), (SERVER_LOG, copy, ""))
    return AT_MS, message, 1, 1, forms


def test_an_access_line_is_the_same_object_in_all_outputs() -> None:
    lines = access('/127.0.0.1:1 "POST /predictions/a HTTP/1.1" 200 7')
    (own,) = objects(lines, OUTPUTS[LogFile.ACCESS])
    assert own == {
        "time": "2026-11-21T05:19:27.372Z",
        "level": "INFO",
        "logger": "ACCESS_LOG",
        "thread": "main",
        "message": '/127.0.0.1:1 "POST /predictions/a HTTP/1.1" 200 7',
        "remote": "127.0.0.1:1",
        "method": "POST",
        "uri": "/predictions/a",
        "protocol": "HTTP/1.1",
        "status": 200,
        "elapsed_ms": 7,
    }
    assert objects(lines, OUTPUTS[LogFile.MMS]) == objects(lines, STDOUT) == [own]


def test_the_trace_at_the_end_of_a_line_is_a_member() -> None:
    trace_id, span_id = f"{1:032x}", f"{2:016x}"
    line = '/127.0.0.1:1 "POST / HTTP/1.1" 200 7'
    (own,) = objects(
        access(f"{line} trace_id={trace_id} span_id={span_id}"), OUTPUTS[LogFile.ACCESS]
    )
    assert (own["trace_id"], own["span_id"]) == (trace_id, span_id)
    assert (own["message"], own["elapsed_ms"]) == (line, 7)
    (both,) = objects(access(f"at work trace_id={trace_id},{trace_id}"), OUTPUTS[LogFile.ACCESS])
    assert (both["message"], both["trace_ids"]) == ("at work", [trace_id] * 2)
    assert not {"trace_id", "span_id"} & set(both)
    (other,) = objects(access(f"trace_id=1 span_id={span_id}"), OUTPUTS[LogFile.ACCESS])
    assert other["message"].startswith("trace_id=1 ")


@pytest.mark.parametrize("message", ['" 200 {"a":1}', "\x00\u2028\x85\udc80", '/a "G \\" b c" 1 2'])
def test_what_a_client_sends_stays_within_its_object(message: str) -> None:
    (data,) = [data for _, data, _ in written_out(as_json([access(message)]))][:1]
    assert data.count(b"\n") == 1
    assert json.loads(data)["message"] == message


def test_metrics_are_taken_apart() -> None:
    message = "PredictionTime.Milliseconds:0.31|#ModelName:m,Level:Model|#hostname:h,requestID:a,b,timestamp:1"
    lines: Lines = (AT_MS, message, 1, 2, ((OUTPUTS[LogFile.MODEL_METRICS], f"{DATE} - ", ""),))
    first, second = objects(lines, OUTPUTS[LogFile.MODEL_METRICS])
    assert first == second
    assert (first["logger"], first["metric"], first["unit"], first["value"]) == (
        *("MODEL_METRICS", "PredictionTime", "Milliseconds"),
        0.31,
    )
    assert first["dimensions"] == {"ModelName": "m", "Level": "Model"}
    assert first["request_ids"] == ["a", "b"]


@pytest.mark.parametrize(
    "message", ["A.B:nan|#x", "no metric", "A.B:x", "A.B:1e999|#:|#requestID:"]
)
def test_an_odd_metric_is_an_object_of_json_all_the_same(message: str) -> None:
    lines: Lines = (AT_MS, message, 1, 1, ((OUTPUTS[LogFile.MMS_METRICS], f"{DATE} - ", ""),))
    (data,) = [data for _, data, _ in written_out(as_json([lines]))]
    found = json.loads(data, parse_constant=lambda word: pytest.fail(word))
    assert found["message"] == message


def test_a_record_of_several_lines_is_one_object() -> None:
    text = f"{DATE} [WARN ] W-a-b-0-stderr my.logger - one - two\nTraceback\n"
    (found,) = objects(plain_lines(SERVER_LOG, text, AT_MS), STDOUT)
    assert (found["level"], found["logger"], found["message"]) == (
        *("WARN", "my.logger"),
        "one - two\nTraceback",
    )
    assert (found["worker"], found["model"]) == ("W-a-b-0", "a-b")


def test_what_tools_wait_for_stays_as_it_is() -> None:
    lines = plain_lines(STDOUT, "Model server started.\n")
    assert as_json([lines]) == [lines]


def test_the_files_have_the_loggers_of_their_lines() -> None:
    names = [logger_names.ACCESS_LOG, logger_names.MMS_METRICS, logger_names.MODEL_METRICS]
    files = [LogFile.ACCESS, LogFile.MMS_METRICS, LogFile.MODEL_METRICS]
    assert {
        list(LogFile).index(f): n for f, n in zip(files, names, strict=True)
    } == LOGGERS_OF_FILES
