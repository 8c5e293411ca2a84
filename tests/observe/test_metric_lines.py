from __future__ import annotations

import pytest

from mms.observe.metrics.lines import file_line, qlog_record

_TAIL = "|#hostname:h1,1716200000"


@pytest.mark.parametrize(
    ("worker_line", "expected"),
    [
        (
            f"Sz.Megabytes:10|#ModelName:noop,Level:Model{_TAIL},4f-1",
            "Sz.Megabytes:10|#ModelName:noop,Level:Model|#hostname:h1,requestID:4f-1,timestamp:1716200000",
        ),
        (
            f"Calls.Count:1|#Level:Model{_TAIL},a,b,c",
            "Calls.Count:1|#Level:Model|#hostname:h1,requestID:a,b,c,timestamp:1716200000",
        ),
        (
            f"Load.Milliseconds:0.5|#Level:Model{_TAIL}",
            "Load.Milliseconds:0.5|#Level:Model|#hostname:h1,timestamp:1716200000",
        ),
    ],
    ids=["one request", "all requests of a batch", "no request"],
)
def test_request_ids_and_time_change_places(worker_line: str, expected: str) -> None:
    assert file_line(worker_line) == expected


@pytest.mark.parametrize(
    "measured",
    [
        "odd-name of a metric.Count:1",
        "Größe.Bytes:3",
        "Text.unit:a text, with: signs",
        "Big.Milliseconds:1e+20",
        "Nan.Milliseconds:nan",
        "Dotted.name.km/h:3",
    ],
)
def test_what_mms_could_not_parse_is_kept(measured: str) -> None:
    line = file_line(f"{measured}|#a:b,c:d e{_TAIL},id")
    assert line == f"{measured}|#a:b,c:d e|#hostname:h1,requestID:id,timestamp:1716200000"


def test_an_empty_unit_becomes_the_word_for_none() -> None:
    assert file_line(f"Err.:3|#Level:Error{_TAIL}").startswith("Err.unit:3|#Level:Error|#")


def test_no_dimensions_are_no_reason_to_drop_a_metric() -> None:
    assert file_line(f"A.Count:1|#{_TAIL}") == "A.Count:1|#|#hostname:h1,timestamp:1716200000"


@pytest.mark.parametrize("text", ["no metric at all", "A.Count:1", "|#hostname:h1,17", ""])
def test_what_is_no_metric_is_written_as_it_came(text: str) -> None:
    assert file_line(text) == text


def test_a_line_break_in_a_value_does_not_make_a_second_line() -> None:
    assert file_line(f"A.unit:x\ny|#a:b{_TAIL}").startswith("A.unit:x\\ny|#")
    assert file_line("no\rmetric\n") == "no\\rmetric\\n"


def test_a_query_log_record_has_mms_s_shape() -> None:
    line = (
        "Calls.Count:1|#ModelName:noop,Level:Model|#hostname:vm,requestID:2b98,timestamp:1795238751"
    )
    assert qlog_record(line, "Prog", "Prog:prod:us-east").split("\n") == [
        "HostName=vm",
        "RequestId=2b98",
        "Marketplace=Prog:prod:us-east",
        "StartTime=1795238751",
        "Program=Prog",
        "Metrics=Calls=1 Count ModelName|noop  Level|Model ",
        "EOE",
        "",
    ]


def test_a_query_log_record_leaves_out_what_there_is_not() -> None:
    line = "CPUUtilization.Percent:0.0|#Level:Host|#hostname:vm,timestamp:1795238746"
    assert qlog_record(line, "P", "").split("\n") == [
        "HostName=vm",
        "StartTime=1795238746",
        "Program=P",
        "Metrics=CPUUtilization=0.0 Percent Level|Host ",
        "EOE",
        "",
    ]


def test_a_query_log_has_no_record_of_what_is_no_metric() -> None:
    assert qlog_record("some text", "P", "") == ""
