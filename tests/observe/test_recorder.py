from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mms.observe.log_files.setup import LogFile
from mms.observe.recorder import Recorder, request_line
from mms.wire.log_records import encode_record

from .conftest import WrittenLogs

_T = 1716200000.123
_ID_1 = b"4f0c2b1e-0000-4000-8000-000000000001"
_ID_2 = b"4f0c2b1e-0000-4000-8000-000000000002"
_WLM = "com.amazonaws.ml.mms.wlm"


def _date(time_s: float) -> str:
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time_s))
    return f"{text},{int(time_s * 1000) % 1000:03d}"


_D = _date(_T)


def _recorder(written: WrittenLogs, **options: object) -> Recorder:
    return Recorder(written.configure(**options).logs, hostname="h1", epoch_s=lambda: 0.0)


def _request(
    recorder: Recorder,
    status: int = 200,
    time_s: float = _T,
    uri: str = "/predictions/noop",
    elapsed_s: float = 0.0075,
    model: str = "noop",
    version: str = "",
    trace: Any = None,
) -> None:
    recorder.requests.append(
        (
            time_s,
            request_line("/127.0.0.1:64003", "POST", uri, "HTTP/1.1"),
            *(status, elapsed_s, model, version, trace),
        )
    )


def _batch(
    recorder: Recorder,
    time_s: float = _T,
    worker: str = "W-noop-1",
    ids: tuple[bytes, ...] = (_ID_1,),
    handler_s: float = 0.00031,
    is_success: bool = True,
    model: str = "noop",
) -> None:
    waits = [0.001] * len(ids)
    recorder.batches.append(
        (time_s, model, "", worker, len(ids), waits, handler_s, list(ids), is_success)
    )


def test_a_response_is_a_line_of_the_access_log(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    _request(recorder)
    recorder.flush()
    assert (
        written.read(LogFile.ACCESS)
        == f'{_D} - /127.0.0.1:64003 "POST /predictions/noop HTTP/1.1" 200 7\n'
    )


def test_records_of_the_monotonic_clock_are_dated_by_the_wall_clock(written: WrittenLogs) -> None:
    """Also after that was set: what is recorded after it has its dates."""
    began_s = [_T - 7.0]
    recorder = Recorder(written.configure().logs, hostname="h1", epoch_s=lambda: began_s[0])
    for _ in range(2):
        _request(recorder, time_s=7.0)
        _batch(recorder, time_s=7.0)
        recorder.flush()
        began_s[0] += 3600.0
    for file in (LogFile.ACCESS, LogFile.MODEL_METRICS):
        dates = [line[:23] for line in written.read(file).splitlines()]
        assert dates == [_date(_T), _date(_T + 3600.0)]


def test_an_access_line_names_its_trace_where_that_is_wanted(written: WrittenLogs) -> None:
    trace = SimpleNamespace(words="trace_id=1 span_id=2")
    for names_traces, end in ((False, " 200 7"), (True, " 200 7 trace_id=1 span_id=2")):
        recorder = _recorder(written, names_traces=names_traces)
        _request(recorder, trace=trace)
        _request(recorder)
        recorder.flush()
        traced, other = written.read(LogFile.ACCESS).splitlines()[-2:]
        assert traced.endswith(end) and other.endswith(" 200 7")


def test_a_response_is_counted_by_its_class_with_a_time(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    for status in (200, 299, 404, 500, 302, 100, 999):
        _request(recorder, status)
    recorder.flush()
    text = written.read(LogFile.MMS_METRICS)
    counted = re.findall(r"(?m)^.* - (Requests.XX)\.Count:1\|#Level:Host\|#hostname:h1,", text)
    assert counted == ["Requests2XX"] * 2 + ["Requests4XX"] + ["Requests5XX"] * 4
    assert text.count(",timestamp:1716200000\n") == 7


def test_access_and_metric_lines_stand_once_in_the_server_log_and_on_standard_output(
    written: WrittenLogs,
) -> None:
    recorder = _recorder(written)
    _request(recorder)
    recorder.flush()
    expected = (
        f'{_D} [INFO ] main ACCESS_LOG - /127.0.0.1:64003 "POST /predictions/noop HTTP/1.1" 200 7\n'
        f"{_D} [INFO ] main MMS_METRICS - Requests2XX.Count:1|#Level:Host|#hostname:h1,timestamp:1716200000\n"
    )
    assert written.read(LogFile.MMS) == expected
    assert written.stdout() == expected


def test_each_response_keeps_its_own_time_and_order(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    times = [_T, _T, _T + 0.001, _T + 1.5, _T + 1.5]
    for number, time_s in enumerate(times):
        _request(recorder, time_s=time_s, uri=f"/{number}")
    recorder.flush()
    lines = written.read(LogFile.ACCESS).splitlines()
    assert [line[:23] for line in lines] == [_date(time_s) for time_s in times]
    assert [line.split()[4] for line in lines] == [f"/{number}" for number in range(5)]
    assert written.read(LogFile.MMS).count("MMS_METRICS - Requests2XX.Count:1") == 5


def test_a_batch_is_a_prediction_time_with_the_ids_of_its_requests(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    _batch(recorder, ids=(_ID_1, _ID_2))
    recorder.flush()
    metric = (
        "PredictionTime.Milliseconds:0.31|#ModelName:noop,Level:Model|#hostname:h1,"
        f"requestID:{_ID_1.decode()},{_ID_2.decode()},timestamp:1716200000"
    )
    assert written.read(LogFile.MODEL_METRICS) == f"{_D} - {metric}\n"
    assert written.read(LogFile.MMS) == (
        f"{_D} [INFO ] W-noop-1-stdout MODEL_METRICS - {metric}\n"
        f"{_D} [INFO ] W-noop-1 {_WLM}.WorkerThread - Backend response time: 0\n"
    )


@pytest.mark.parametrize(
    ("handler_s", "shown"),
    [
        (0.0, "0.0"),
        (0.000004, "0.0"),
        (0.000006, "0.01"),
        (0.00005, "0.05"),
        (0.0003, "0.3"),
        (0.00031, "0.31"),
        (0.0123, "12.3"),
        (2.0, "2000.0"),
        (3600.12345, "3600123.45"),
    ],
)
def test_a_prediction_time_is_written_as_python_writes_a_rounded_float(
    written: WrittenLogs, handler_s: float, shown: str
) -> None:
    assert shown == str(round(handler_s * 1000, 2))
    recorder = _recorder(written)
    _batch(recorder, handler_s=handler_s)
    recorder.flush()
    assert f" PredictionTime.Milliseconds:{shown}|#" in written.read(LogFile.MODEL_METRICS)


def test_a_server_that_is_run_by_hand_writes_no_line_for_a_batch(written: WrittenLogs) -> None:
    recorder = _recorder(written, has_batch_lines=False)
    _batch(recorder)
    recorder.flush()
    assert "Backend response time" not in written.read(LogFile.MMS)


def test_a_failed_batch_has_a_response_time_and_no_prediction_time(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    _batch(recorder, is_success=False, handler_s=0.012)
    recorder.flush()
    assert written.read(LogFile.MODEL_METRICS) == ""
    assert written.read(LogFile.MMS).endswith(" - Backend response time: 12\n")


def test_batches_of_several_workers_and_models_keep_their_names(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    _batch(recorder, worker="W-a-0", model="a")
    _batch(recorder, worker="W-b-0", model="b", ids=(_ID_2,))
    _batch(recorder, worker="W-a-0", model="a", time_s=_T + 0.5)
    recorder.flush()
    lines = written.read(LogFile.MMS).splitlines()
    assert [line[24:].split("|#hostname")[0] for line in lines] == [
        "[INFO ] W-a-0-stdout MODEL_METRICS - PredictionTime.Milliseconds:0.31|#ModelName:a,Level:Model",
        "[INFO ] W-b-0-stdout MODEL_METRICS - PredictionTime.Milliseconds:0.31|#ModelName:b,Level:Model",
        f"[INFO ] W-a-0 {_WLM}.WorkerThread - Backend response time: 0",
        f"[INFO ] W-b-0 {_WLM}.WorkerThread - Backend response time: 0",
        "[INFO ] W-a-0-stdout MODEL_METRICS - PredictionTime.Milliseconds:0.31|#ModelName:a,Level:Model",
        f"[INFO ] W-a-0 {_WLM}.WorkerThread - Backend response time: 0",
    ]


def test_every_batch_of_one_worker_has_its_line_and_its_time(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    times = [_T, _T, _T + 0.25, _T + 0.5]
    for time_s in times:
        _batch(recorder, time_s=time_s)
    recorder.flush()
    for file in (LogFile.MODEL_METRICS, LogFile.MMS):
        lines = [x for x in written.read(file).splitlines() if "PredictionTime" in x]
        assert [line[:23] for line in lines] == [_date(time_s) for time_s in times]
    assert written.read(LogFile.MMS).count("Backend response time: ") == 4


def test_records_are_written_once_and_kept_append_methods_stay_good(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    append_request, append_batch = recorder.requests.append, recorder.batches.append
    _request(recorder)
    _batch(recorder)
    recorder.flush()
    recorder.flush()
    append_request((_T, "r GET /later", 200, 0.0, "", "", None))
    append_batch((_T, "later", "", "W-later-0", 1, [0.0], 0.0, [_ID_2], True))
    assert recorder.pending == 2
    recorder.flush()
    assert recorder.pending == 0
    assert len(written.read(LogFile.ACCESS).splitlines()) == 2
    assert len(written.read(LogFile.MODEL_METRICS).splitlines()) == 2


def test_counts_add_up_over_flushes_by_model_version_and_status(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    for _ in range(2):
        _request(recorder, 200, elapsed_s=0.002)
        _request(recorder, 503, elapsed_s=0.5)
        _request(recorder, 200, version="2.0")
        _request(recorder, 200, elapsed_s=0.002)
        recorder.flush()
    requests = recorder.aggregates.requests
    assert {labels: series.count for labels, series in requests.items()} == {
        ("noop", "", 200): 4,
        ("noop", "", 503): 2,
        ("noop", "2.0", 200): 2,
    }
    assert requests["noop", "", 200].total == pytest.approx(0.008)


def test_batches_are_counted_with_waits_sizes_and_times(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    _batch(recorder, ids=(_ID_1, _ID_2), handler_s=0.01)
    _batch(recorder, handler_s=0.03, is_success=False)
    recorder.flush()
    series = recorder.aggregates.batches["noop", ""]
    assert (series.queue.count, series.queue.total) == (3, pytest.approx(0.003))
    assert (series.handler.count, series.handler.total) == (2, pytest.approx(0.04))
    assert (series.sizes.count, series.sizes.total) == (2, 3)
    assert series.failures == 1


def test_each_model_has_the_time_of_its_own_last_batch(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    for model, time_s in (("a", _T), ("b", _T + 1), ("a", _T + 2), ("b", _T + 5)):
        _batch(recorder, time_s, model=model)
    recorder.flush()
    last = {model: series.last_at for (model, _), series in recorder.aggregates.batches.items()}
    assert last == {"a": _T + 2, "b": _T + 5}


def test_counting_goes_on_where_nothing_is_written(written: WrittenLogs) -> None:
    recorder = _recorder(written, has_access_log=False, has_metrics=False)
    _request(recorder)
    _batch(recorder)
    recorder.metric("CPUUtilization", "Percent", 1.0)
    recorder.metric_lines(["A.Count:1|#a:b|#hostname:h,17"])
    recorder.flush()
    assert written.read(LogFile.ACCESS) == ""
    assert written.read(LogFile.MMS_METRICS) == ""
    assert written.read(LogFile.MODEL_METRICS) == ""
    assert "METRICS" not in written.read(LogFile.MMS)
    assert recorder.aggregates.requests["noop", "", 200].count == 1
    assert recorder.aggregates.batches["noop", ""].handler.count == 1


def test_a_server_metric_goes_to_its_file_and_the_server_log(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    recorder.metric("CPUUtilization", "Percent", 12.5)
    recorder.flush()
    metric = r"CPUUtilization\.Percent:12\.5\|#Level:Host\|#hostname:h1,timestamp:\d{10}\n"
    assert re.fullmatch(rf"\S+ - {metric}", written.read(LogFile.MMS_METRICS))
    assert re.fullmatch(rf"\S+ \[INFO \] main MMS_METRICS - {metric}", written.read(LogFile.MMS))


def test_the_load_of_a_worker_is_named_as_mms_names_its_worker(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    recorder.worker_loaded("W-my-model-3", 0.0899)
    recorder.flush()
    assert " - W-3-my-model.ms:89|#Level:Host|#" in written.read(LogFile.MMS_METRICS)
    assert " [INFO ] W-3-my-model MMS_METRICS - " in written.read(LogFile.MMS)


def test_a_handler_s_metrics_stand_before_the_time_of_their_batch(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    _batch(recorder)
    recorder.metric_lines([f"Calls.Count:1|#a:b|#hostname:w,17,{_ID_1.decode()}"], "W-noop-1")
    recorder.flush()
    first, second = written.read(LogFile.MODEL_METRICS).splitlines()
    assert first.endswith(
        f" - Calls.Count:1|#a:b|#hostname:w,requestID:{_ID_1.decode()},timestamp:17"
    )
    assert "PredictionTime" in second
    assert " W-noop-1-stdout MODEL_METRICS - Calls.Count:1|" in written.read(LogFile.MMS)


def test_a_worker_s_output_is_logged_by_stream_with_its_name(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    recorder.log_worker_line("noop", "W-noop-1", "stdout", "hello from handler")
    recorder.log_worker_line("noop", "W-noop-1", "stderr", "on stderr")
    recorder.flush()
    text = written.read(LogFile.MMS)
    assert re.fullmatch(
        rf"\S+ \[INFO \] W-noop-1-stdout {_WLM}\.WorkerLifeCycle - hello from handler\n"
        rf"\S+ \[WARN \] W-noop-1-stderr {_WLM}\.WorkerLifeCycle - on stderr\n",
        text,
    )
    assert written.read(LogFile.MODEL) == text


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (10, "DEBUG"),
        (20, "INFO "),
        (25, "INFO "),
        (30, "WARN "),
        (40, "ERROR"),
        (50, "FATAL"),
        (999, "FATAL"),
    ],
)
def test_log_records_of_a_worker_keep_their_level_and_logger(
    written: WrittenLogs, level: int, word: str
) -> None:
    recorder = _recorder(written)
    for line in encode_record(level, "my.model", "one\ntwo").rstrip("\n").split("\n"):
        recorder.log_worker_line("noop", "W-noop-1", "stdout", line)
    recorder.flush()
    text = written.read(LogFile.MMS)
    line = rf"\S+ \[{word}\] W-noop-1-stdout my\.model - "
    assert re.fullmatch(rf"{line}one\n{line}two\n", text)
    assert written.read(LogFile.MODEL) == text


def test_a_record_of_the_root_logger_has_the_name_of_the_output(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    line = "printed, no end of line" + encode_record(40, "root", "logged").rstrip("\n")
    recorder.log_worker_line("noop", "W-noop-1", "stdout", line)
    recorder.flush()
    assert re.fullmatch(
        rf"\S+ \[INFO \] W-noop-1-stdout {_WLM}\.WorkerLifeCycle - printed, no end of line\n"
        rf"\S+ \[ERROR\] W-noop-1-stdout {_WLM}\.WorkerLifeCycle - logged\n",
        written.read(LogFile.MMS),
    )


def test_the_name_of_a_logger_is_no_more_than_a_column(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    record = encode_record(20, "a b\n2026 [ERROR] \x1f" + "c" * 1000, "text")
    recorder.log_worker_line("noop", "W-noop-1", "stdout", record.rstrip("\n"))
    recorder.flush()
    text = written.read(LogFile.MMS)
    assert re.fullmatch(r"\S+ \[INFO \] W-noop-1-stdout a_b_2026_ERROR_c+ - text\n", text)
    assert len(text) < 300


@pytest.mark.parametrize("line", ["\x1e", "\x1ex y\x1fz", "a \x1e20 no end", "\x1e99999 a\x1fb"])
def test_a_mark_that_begins_no_record_is_text(written: WrittenLogs, line: str) -> None:
    recorder = _recorder(written)
    recorder.log_worker_line("noop", "W-noop-1", "stdout", line)
    recorder.flush()
    assert written.read(LogFile.MMS).endswith(f" {_WLM}.WorkerLifeCycle - {line}\n")


def test_a_marked_line_of_a_worker_s_output_is_a_metric(written: WrittenLogs) -> None:
    recorder = _recorder(written)
    recorder.log_worker_line("noop", "W-noop-1", "stdout", "[METRICS]A.Count:1|#a:b|#hostname:h,17")
    recorder.flush()
    assert written.read(LogFile.MODEL_METRICS).endswith(
        " - A.Count:1|#a:b|#hostname:h,timestamp:17\n"
    )
    assert "WorkerLifeCycle" not in written.read(LogFile.MMS)


def test_the_metrics_files_can_have_the_query_log_layout(written: WrittenLogs) -> None:
    recorder = _recorder(written, layout="qlog", program="P", marketplace="P:d:r")
    _request(recorder)
    _request(recorder)
    _batch(recorder)
    recorder.metric_lines(["no metric"])
    recorder.flush()
    record = (
        "HostName=h1\nMarketplace=P:d:r\nStartTime=1716200000\nProgram=P\n"
        "Metrics=Requests2XX=1 Count Level|Host \nEOE\n"
    )
    assert written.read(LogFile.MMS_METRICS) == record * 2
    assert written.read(LogFile.MODEL_METRICS) == (
        f"HostName=h1\nRequestId={_ID_1.decode()}\nMarketplace=P:d:r\nStartTime=1716200000\n"
        "Program=P\nMetrics=PredictionTime=0.31 Milliseconds ModelName|noop  Level|Model \nEOE\n"
    )
    assert "MMS_METRICS - Requests2XX.Count:1|#" in written.read(LogFile.MMS)


@pytest.fixture
def quiet(written: WrittenLogs) -> Path:
    """A log4j file that turns off what can be turned off."""
    path = written.folder / "log4j2.xml"
    names = ["ACCESS_LOG", "MMS_METRICS", "MODEL_METRICS", "com.amazonaws.ml.mms.wlm"]
    loggers = [f"<Logger name='{name}' level='warn'/>" for name in names]
    path.write_text(f"<a>{''.join(loggers)}</a>")
    return path


def test_a_level_above_info_turns_the_lines_of_a_logger_off(
    written: WrittenLogs, quiet: Path
) -> None:
    recorder = _recorder(written, config_path=quiet)
    _request(recorder)
    _batch(recorder)
    recorder.log_worker_line("noop", "W-noop-1", "stdout", "hidden")
    recorder.log_worker_line("noop", "W-noop-1", "stderr", "shown")
    recorder.flush()
    lines = written.read(LogFile.MMS).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("WorkerLifeCycle - shown")
    for file in (LogFile.ACCESS, LogFile.MMS_METRICS, LogFile.MODEL_METRICS):
        assert written.read(file) == ""


class _ListHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.levelname} {record.getMessage()}")


@pytest.fixture
def listened() -> Iterator[_ListHandler]:
    handler = _ListHandler()
    loggers = [
        logging.getLogger(name)
        for name in ("ACCESS_LOG", "MMS_METRICS", "MODEL_METRICS", f"{_WLM}.WorkerLifeCycle")
    ]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


def test_loggers_that_a_python_configuration_names_see_their_lines_too(
    written: WrittenLogs, listened: _ListHandler
) -> None:
    logs = written.configure().logs
    for name in ("ACCESS_LOG", "MMS_METRICS", "MODEL_METRICS"):
        logs.forwarded[name] = logging.getLogger(name)
    recorder = Recorder(logs, hostname="h1", epoch_s=lambda: 0.0)
    _request(recorder)
    _batch(recorder)
    recorder.flush()
    assert [line.split(":")[0] for line in listened.lines] == [
        "ACCESS_LOG INFO /127.0.0.1",
        "MMS_METRICS INFO Requests2XX.Count",
        "MODEL_METRICS INFO PredictionTime.Milliseconds",
    ]
    assert "/predictions/noop" in written.read(LogFile.ACCESS)
    assert written.read(LogFile.MMS).count(" ACCESS_LOG - ") == 1


def test_output_and_copies_leave_the_server_log_where_a_python_configuration_has_its_own(
    written: WrittenLogs, listened: _ListHandler
) -> None:
    logs = written.configure().logs
    logs.has_server_log = False
    recorder = Recorder(logs, hostname="h1", epoch_s=lambda: 0.0)
    _request(recorder)
    _batch(recorder)
    recorder.log_worker_line("noop", "W-noop-1", "stderr", "text")
    record = encode_record(40, "own", "wrong").rstrip("\n")
    recorder.log_worker_line("noop", "W-noop-1", "stdout", record)
    recorder.flush()
    assert listened.lines == [f"{_WLM}.WorkerLifeCycle WARNING text", "own ERROR wrong"]
    assert "/predictions/noop" in written.read(LogFile.ACCESS)
    text = written.read(LogFile.MMS)
    assert " ACCESS_LOG - " not in text
    assert "Backend response time" not in text
