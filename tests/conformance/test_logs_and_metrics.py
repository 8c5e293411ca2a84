"""Log files, their lines, and metrics."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.server import Server, ServerPool, manifest, unique_name
from support.waiting import eventually

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"
HOST = re.escape(socket.gethostname())
FILES = ["access_log.log", "mms_log.log", "mms_metrics.log", "model_metrics.log", "model_log.log"]


def test_the_five_files_are_there(server: Server) -> None:
    server.inference.get("/ping")
    for name in FILES:
        eventually(f"{name} is there", (server.logs / name).exists)


@pytest.mark.edge
def test_a_prediction_is_in_the_access_log(server: Server) -> None:
    path = f"/predictions/{server.shared('noop')}?marked={time.monotonic_ns()}"
    assert server.inference.post(path, b"x").status == 200
    server.wait_for_log(
        "access_log.log",
        rf'^{DATE} - /127\.0\.0\.1:\d+ "POST {re.escape(path)} HTTP/1\.1" 200 \d+$',
    )


@pytest.mark.edge
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping?marked={}", 200),
        ("GET", "/absent-{}", 404),
        ("OPTIONS", "/predictions/noop?{}", 200),
    ],
)
def test_every_answer_is_in_the_access_log(
    server: Server, method: str, path: str, status: int
) -> None:
    path = path.format(time.monotonic_ns())
    assert server.inference.request(method, path).status == status
    line = rf'^{DATE} - /127\.0\.0\.1:\d+ "{method} {re.escape(path)} HTTP/1\.1" {status} \d+$'
    server.wait_for_log("access_log.log", line)


def test_a_management_call_is_in_the_access_log(main_server: Server) -> None:
    path = f"/models/absent-{time.monotonic_ns()}"
    main_server.management.get(path)
    main_server.wait_for_log("access_log.log", rf'"GET {path} HTTP/1\.1" 404 \d+$')


@pytest.mark.edge
def test_the_access_log_tells_the_milliseconds(server: Server) -> None:
    path = f"/predictions/{server.shared('obey')}?marked={time.monotonic_ns()}"
    server.inference.post_json(path, {"sleep": 0.2})
    found = server.wait_for_log("access_log.log", rf'{re.escape(path)} HTTP/1\.1" 200 (\d+)$')
    assert 200 <= int(found[1]) < 20_000


def test_a_unix_socket_has_no_remote_address(secure_server: Server) -> None:
    path = f"/models/absent-{time.monotonic_ns()}"
    secure_server.management.get(path)
    secure_server.wait_for_log(
        "access_log.log", rf'^{DATE} - 0\.0\.0\.0 "GET {path} HTTP/1\.1" 404 \d+$'
    )


def test_the_log_of_everything_has_its_pattern(server: Server) -> None:
    path = f"/ping?marked={time.monotonic_ns()}"
    server.inference.get(path)
    server.wait_for_log(
        "mms_log.log",
        rf'^{DATE} \[INFO \] \S+ ACCESS_LOG - /127\.0\.0\.1:\d+ "GET {re.escape(path)} ',
    )


def test_everything_goes_to_the_output_too(server: Server) -> None:
    path = f"/ping?marked={time.monotonic_ns()}"
    server.inference.get(path)
    pattern = re.compile(
        rf'^{DATE} \[INFO \] \S+ ACCESS_LOG - /127\.0\.0\.1:\d+ "GET {re.escape(path)} ', re.M
    )
    eventually("the line is in the output", lambda: pattern.search(server.output()))


def test_the_start_is_told(server: Server) -> None:
    output = server.output()
    assert re.search(r"^Model server started\.$", output, re.M)
    for name in ("Inference", "Management"):
        address = server.settings[f"{name.lower()}_address"]
        assert f"{name} API bind to: {address}" in output
        assert f"{name} address: {address}" in output
    for label, value in [
        ("Temp directory", str(server.temporary)),
        ("Config file", str(server.config_file)),
        ("Model Store", str(server.store)),
        ("Initial Models", "noop"),
        ("Maximum Request Size", "10485760"),
        ("Maximum Response Size", "6553500"),
        ("Blacklist Regex", "N/A"),
        ("Preload model", "false"),
        ("Number of GPUs", r"\d+"),
        ("Number of CPUs", r"\d+"),
        ("Current directory", str(server.directory)),
        ("Python executable", r"\S+"),
        ("Default workers per model", r"\d+"),
    ]:
        assert re.search(rf"^{label}: {value}$", output, re.M), label


def test_a_handlers_log_reaches_the_log(server: Server) -> None:
    name = server.shared("logging")
    for _ in range(5):
        reply = server.inference.post(
            f"/predictions/{name}",
            b"data=test",
            content_type="application/x-www-form-urlencoded",
        )
        assert reply.status == 200
    pid = int(reply.text.split()[0])
    line = rf"^{DATE} \[INFO \] W-{name[:25]}-\d+-stdout com\.amazonaws\.ml\.mms\.wlm\."
    line += rf"WorkerLifeCycle - LoggingService inference \[PID\]: {pid}$"
    eventually(
        "the lines are there", lambda: len(re.findall(line, server.log("mms_log.log"), re.M)) >= 2
    )


def test_what_a_handler_writes_reaches_the_log_by_its_stream(server: Server) -> None:
    name = server.shared("logging")
    server.inference.post(f"/predictions/{name}", b"x")
    server.wait_for_log(
        "mms_log.log",
        rf"^{DATE} \[WARN \] W-{name[:25]}-\d+-stderr com\.amazonaws\.ml\.mms\.wlm\."
        "WorkerLifeCycle - a line on standard error$",
    )
    server.wait_for_log("mms_log.log", "WorkerLifeCycle - logging model: loading$")


@pytest.mark.better_than_mms
@pytest.mark.parametrize("preload", ["false", "true"])
def test_what_a_handler_logs_keeps_its_level_and_logger(main_server: Server, preload: str) -> None:
    source = (
        "import logging\n"
        "def handle(data, context):\n"
        "    if data:\n"
        "        logging.error('root error')\n"
        "        logging.getLogger('own.logger').warning('own warning')\n"
        "        try:\n"
        "            1 / 0\n"
        "        except ZeroDivisionError:\n"
        "            logging.getLogger('own.logger').exception('failed')\n"
        "    return ['OK']\n"
    )
    url = main_server.write_model(unique_name("logs"), source, manifest("logs"))
    with main_server.registered(url, preload_model=preload) as name:
        assert main_server.inference.post(f"/predictions/{name}", b"x").status == 200
        start = rf"^{DATE} \[%s\] W-{name[:25]}-\d+-stdout %s - %s$"
        for word, logger, text in (
            ("ERROR", r"com\.amazonaws\.ml\.mms\.wlm\.WorkerLifeCycle", "root error"),
            ("WARN ", r"own\.logger", "own warning"),
            ("ERROR", r"own\.logger", "failed"),
            ("ERROR", r"own\.logger", "ZeroDivisionError: division by zero"),
        ):
            main_server.wait_for_log("mms_log.log", start % (word, logger, text))


def test_loading_and_unregistering_are_logged(server: Server) -> None:
    with server.registered("logging") as name:
        server.wait_for_log("mms_log.log", rf"Model {name} loaded\.")
    server.wait_for_log("mms_log.log", rf"Model {name} unregistered\.")


def test_a_restart_is_logged(main_server: Server) -> None:
    with main_server.registered("obey") as name:
        main_server.inference.post_json(f"/predictions/{name}", {"exit": 1})
        main_server.wait_for_log("mms_log.log", r"Retry worker: .* in 1 seconds\.$")


@pytest.mark.edge
def test_the_time_of_a_prediction_is_a_metric(server: Server) -> None:
    name = server.shared("echo")
    request_id = server.inference.post(f"/predictions/{name}", b"x").header("x-request-id")
    server.wait_for_log(
        "model_metrics.log",
        rf"^{DATE} - PredictionTime\.Milliseconds:[\d.]+\|#ModelName:{name},Level:Model"
        rf"\|#hostname:{HOST},requestID:{request_id},timestamp:\d{{10}}$",
    )


def test_metrics_are_in_the_log_of_everything_too(server: Server) -> None:
    name = server.shared("echo")
    request_id = server.inference.post(f"/predictions/{name}", b"x").header("x-request-id")
    server.wait_for_log(
        "mms_log.log",
        rf"^{DATE} \[INFO \] \S+ MODEL_METRICS - PredictionTime\.Milliseconds:.*{request_id}",
    )


@pytest.fixture
def measured(server: Server) -> Iterator[tuple[str, str]]:
    """The metrics file after one request to a handler with metrics of its own, and the id."""
    name = server.shared("metrics")
    request_id = server.inference.post(f"/predictions/{name}", b"x").header("x-request-id")
    assert request_id is not None
    # The time of the prediction comes after the handler's own.
    server.wait_for_log("model_metrics.log", rf"PredictionTime.*requestID:{request_id}")
    yield server.log("model_metrics.log"), request_id


def _metric(measured: tuple[str, str], name: str) -> tuple[str, str]:
    """Unit-and-value, and dimensions, of a metric of the request."""
    found = re.search(
        rf"^{DATE} - {name}\.(\S*?:[^|]*)\|#([^|]*)\|#hostname:{HOST},"
        rf"requestID:{measured[1]},timestamp:\d+$",
        measured[0],
        re.M,
    )
    assert found is not None, f"no {name} of {measured[1]}"
    return found[1], found[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Calls", "Count:3"),
        ("Preparing", "Milliseconds:1.5"),
        ("Cooking", "Seconds:2"),
        ("Plate", "Megabytes:4"),
        ("Crumb", "Bytes:5"),
        ("Full", "Percent:50.5"),
        ("Distance", "km:7"),
        ("ForFirst", "Milliseconds:1"),
    ],
)
def test_a_handlers_metric_is_written(measured: tuple[str, str], name: str, value: str) -> None:
    shown, dimensions = _metric(measured, name)
    assert shown == value
    assert re.fullmatch(r"ModelName:metrics-\d+,Level:Model", dimensions)


def test_a_counter_keeps_its_dimensions(measured: tuple[str, str]) -> None:
    shown, dimensions = _metric(measured, "Marked")
    assert shown == "Count:5"
    assert dimensions.startswith("Shape:wide,ModelName:")


@pytest.mark.better_than_mms
def test_every_metric_keeps_its_dimensions(measured: tuple[str, str]) -> None:
    shown, dimensions = _metric(measured, "Shaped")
    assert shown == "Milliseconds:3"
    assert dimensions.startswith("Shape:wide,ModelName:")


@pytest.mark.better_than_mms
def test_an_error_metric_is_written(server: Server) -> None:
    server.inference.post(f"/predictions/{server.shared('metrics')}", b"x")
    server.wait_for_log("model_metrics.log", r"Burnt.*:1\|#Level:Error")


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "call",
    [
        "add_metric('Odd', 1)",
        "add_metric('Odd', 1, 'km', [Dimension('A', 'b')])",
        "add_counter('Odd', 1, 0)",
    ],
)
def test_calls_that_raised_before_do_work(main_server: Server, call: str) -> None:
    url = unique_name("calls")
    main_server.write_model(
        url,
        "from mms.metrics.dimension import Dimension\n"
        "def handle(data, context):\n"
        f"    context.metrics.{call}\n"
        "    return ['OK'] * len(data or [1])\n",
        manifest(url),
    )
    with main_server.registered(url) as name:
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


@pytest.mark.better_than_mms
def test_an_odd_metric_is_not_written_as_null(main_server: Server) -> None:
    url = unique_name("odd")
    main_server.write_model(
        url,
        "def handle(data, context):\n"
        "    context.metrics.add_time('odd-name of a metric', 1)\n"
        "    context.metrics.add_time('Huge', 1e20)\n"
        "    return ['OK'] * len(data or [1])\n",
        manifest(url),
    )
    with main_server.registered(url) as name:
        request_id = main_server.inference.get(f"/predictions/{name}").header("x-request-id")
        main_server.wait_for_log("model_metrics.log", rf"PredictionTime.*requestID:{request_id}")
    text = main_server.log("model_metrics.log")
    assert re.search(rf"Huge\.Milliseconds:1e\+20\|.*requestID:{request_id}", text)
    assert not re.search(rf"^{DATE} - null$", text, re.M)


@pytest.mark.edge
@pytest.mark.parametrize(
    ("path", "counter"),
    [
        ("/predictions/noop", "Requests2XX"),
        ("/absent", "Requests4XX"),
        ("/predictions/{invalid}", "Requests5XX"),
    ],
)
def test_answers_are_counted_by_the_first_digit(server: Server, path: str, counter: str) -> None:
    line = rf"^{DATE} - {counter}\.Count:1\|#Level:Host\|#hostname:{HOST},timestamp:\S+$"

    def count() -> int:
        return len(re.findall(line, server.log("mms_metrics.log"), re.M))

    before = count()
    server.inference.post(path.format(invalid=server.shared("invalid")), b"x")
    eventually(f"{counter} grew", lambda: count() > before)


@pytest.mark.better_than_mms
def test_a_count_has_the_time_and_not_null(server: Server) -> None:
    server.inference.get("/ping")
    server.wait_for_log("mms_metrics.log", r"Requests2XX\.Count:1\|.*,timestamp:\d{10}$")
    assert "timestamp:null" not in server.log("mms_metrics.log")


def test_host_metrics_come_soon_after_the_start(server: Server) -> None:
    for name, unit in [
        ("CPUUtilization", "Percent"),
        ("DiskAvailable", "Gigabytes"),
        ("DiskUsage", "Gigabytes"),
        ("DiskUtilization", "Percent"),
        ("MemoryAvailable", "Megabytes"),
        ("MemoryUsed", "Megabytes"),
        ("MemoryUtilization", "Percent"),
    ]:
        server.wait_for_log(
            "mms_metrics.log",
            rf"^{DATE} - {name}\.{unit}:[\d.]+\|#Level:Host\|#hostname:{HOST},timestamp:\d{{10}}$",
        )


def test_the_load_of_a_worker_is_a_metric(server: Server) -> None:
    server.wait_for_log(
        "mms_metrics.log", rf"^{DATE} - W-\d+-noop\.ms:\d+\|#Level:Host\|#hostname:{HOST},"
    )


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_a_line_of_the_log_is_there_once(server: Server) -> None:
    path = f"/ping?once={time.monotonic_ns()}"
    server.inference.get(path)
    later = f"/ping?later={time.monotonic_ns()}"
    server.inference.get(later)
    for name in ("mms_log.log", "access_log.log"):
        server.wait_for_log(name, re.escape(later))
    assert server.log("mms_log.log").count(path) == 1
    assert server.log("access_log.log").count(path) == 1
    assert len(re.findall(r"Model noop loaded\.", server.log("mms_log.log"))) == 1


def _prometheus(server: Server) -> Any:
    reply = server.management.get("/metrics")
    assert reply.status == 200
    assert (reply.header("content-type") or "").startswith("text/plain")
    return reply.text


@pytest.mark.better_than_mms
def test_the_management_listener_gives_metrics_for_prometheus(server: Server) -> None:
    name = server.shared("echo")
    for _ in range(3):
        server.inference.post(f"/predictions/{name}", b"x")

    def shown() -> str:
        lines = [line for line in _prometheus(server).splitlines() if name in line]
        return "\n".join(line for line in lines if "request" in line)

    lines = eventually("the requests are counted", shown)
    assert '="200"' in lines
    text = _prometheus(server)
    for word in ("queue", "batch", "worker", "_bucket{", "# HELP ", "# TYPE "):
        assert word in text


@pytest.mark.better_than_mms
def test_metrics_of_a_handler_are_series_for_prometheus(main_server: Server) -> None:
    source = (
        "from mms.metrics.dimension import Dimension\n"
        "def handle(data, context):\n"
        "    side = [Dimension('Camera', 'left')]\n"
        "    context.metrics.add_counter('Faces', 2, dimensions=side)\n"
        "    context.metrics.add_size('Image', 1.5)\n"
        "    return ['OK'] * len(data or [])\n"
    )
    url = main_server.write_model(unique_name("faces"), source, manifest("faces"))
    with main_server.registered(url) as name:
        for _ in range(3):
            assert main_server.inference.post(f"/predictions/{name}", b"x").status == 200
        text = main_server.management.get("/metrics").text
        labels = rf'(?=[^}}]*ModelName="{name}")(?=[^}}]*Level="Model")[^}}]*'
        # Once at the load, too.
        assert re.search(rf'^Faces_total{{(?=[^}}]*Camera="left"){labels}}} 8\.0$', text, re.M), (
            text
        )
        assert re.search(rf"^Image{{{labels}}} 1\.5$", text, re.M), text
    assert "Faces_total{" not in main_server.management.get("/metrics").text


def test_the_inference_listener_gives_no_metrics(server: Server) -> None:
    assert server.inference.get("/metrics").status == 404


@pytest.fixture(scope="module")
def each_second(servers: ServerPool) -> Iterator[Server]:
    """Measures itself each second, into a folder of its own; its other logs are where they are by default."""
    server = Server(
        servers.new_directory(),
        {"metric_time_interval": "1", "load_models": "noop", "default_workers_per_model": "1"},
        environment={"METRICS_LOCATION": "elsewhere"},
        # An empty value is no folder, so take the variable away for this server alone.
        without_variables=("LOG_LOCATION",),
    ).start()
    yield server
    server.stop()


def test_the_log_folder_is_logs_in_the_current_directory_by_default(each_second: Server) -> None:
    each_second.inference.get("/ping")
    each_second.wait_for_log("access_log.log", "GET /ping")


def test_metrics_may_have_a_folder_of_their_own(each_second: Server) -> None:
    for name in ("mms_metrics.log", "model_metrics.log"):
        eventually(f"{name} is there", (each_second.directory / "elsewhere" / name).exists)
        assert not (each_second.logs / name).exists()


def test_the_interval_of_metrics_can_be_set_and_shows_the_memory_of_workers(
    each_second: Server,
) -> None:
    file = each_second.directory / "elsewhere" / "mms_metrics.log"
    eventually(
        "three passes",
        lambda: file.read_text().count("CPUUtilization.Percent") >= 3,
        timeout_s=40,  # of the 120 s that it takes by default
    )
    worker = each_second.describe("noop")["workers"][0]
    assert worker["memoryUsage"] > 1_000_000
