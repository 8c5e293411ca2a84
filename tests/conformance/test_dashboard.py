"""A server under load has what deploy/monitoring asks Prometheus for; with `--full` a real Prometheus answers it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import free_port
from support.server import Server, ServerPool, manifest
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

MONITORING = Path(__file__).resolve().parents[2] / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
PANELS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
#: A server that has met none says nothing.
EMPTY = {"Unexpected errors in the server since its start A"}
HANDLER = """
import os
import time
def handle(data, context):
    if data is None:
        return None
    words = [bytes(item.get("body") or b"") for item in data]
    if b"end" in words:
        os._exit(1)
    if b"fail" in words:
        raise ValueError("no")
    time.sleep(0.02)
    return words
"""


def names_in(expressions: list[str]) -> set[str]:
    return set(re.findall(r"\bmms_\w+", " ".join(expressions)))


def test_a_server_exports_what_dashboard_and_alerts_ask_for(main_server: Server) -> None:
    assert main_server.inference.post("/predictions/noop", "x").status == 200
    text = main_server.management.get("/metrics").text
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    parts = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    exported = {name + part for name, kind in families.items() for part in parts.get(kind, ("",))}
    alerts = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    rules = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    assert names_in([*PANELS.values(), *rules]) <= exported
    with_model = {line.partition("{")[0] for line in text.splitlines() if 'model="noop"' in line}
    of_models = [expression for expression in PANELS.values() if "$model" in expression]
    # Those of what has been lost, and of what has been measured meanwhile.
    late = {"mms_requests_lost_total", "mms_worker_memory_bytes"}
    assert names_in(of_models) - with_model <= late


class Prometheus:
    """A real one, which asks a server each second."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(MONITORING / "alerts.yaml")],
            "scrape_configs": [
                {
                    "job_name": "mms",
                    "static_configs": [
                        {"targets": [f"127.0.0.1:{server.management.address.port}"]}
                    ],
                }
            ],
        }
        file = folder / "prometheus.yaml"
        file.write_text(json.dumps(config), encoding="utf-8")
        self._log = (folder / "prometheus.log").open("w+b")
        self._process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"),
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str, **parameters: str) -> Any:
        assert self._process.poll() is None, self.log()
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = json.loads(answer.read())
        except ConnectionError:
            return None
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise AssertionError(error.read().decode()) from None
        except urllib.error.URLError:
            return None
        assert found["status"] == "success", found
        return found["data"]

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture
def loaded(servers: ServerPool, is_full: bool) -> Iterator[Server]:
    """A server with models that answer, fail, end and let requests wait, under load until the end of the test."""
    if not is_full:
        pytest.skip("runs with --full")
    server = Server(servers.new_directory(), {"metric_time_interval": "1"})
    server.write_model("busy", HANDLER, manifest("busy"))
    server.start()
    is_over = threading.Event()

    def load(model: str, word: str, **headers: str) -> None:
        while not is_over.is_set():
            server.inference.post(f"/predictions/{model}", word, headers=headers)
            if word == "end":
                # The worker starts again meanwhile.
                is_over.wait(2)

    for name in ("busy", "ends"):
        reply = server.register("busy", model_name=name, initial_workers=1, synchronous="true")
        assert reply.status == 200, reply
    calls = [
        *[("busy", "x", {})] * 4,
        ("busy", "fail", {}),
        ("busy", "x", {"x-request-timeout": "1"}),
        ("ends", "end", {}),
    ]
    threads = [threading.Thread(target=load, args=call[:2], kwargs=call[2]) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        server.stop()


@pytest.fixture
def prometheus(loaded: Server, tmp_path: Path) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.skip("needs Prometheus (Debian's package prometheus)")
    found = Prometheus(tmp_path, loaded)
    yield found
    found.stop()


def test_prometheus_answers_each_panel_and_takes_each_rule(prometheus: Prometheus) -> None:
    values: dict[str, Any] = {}

    def is_answered() -> bool:
        for title, expression in PANELS.items():
            query = expression.replace("$__rate_interval", "20s").replace("$model", ".+")
            answer = prometheus.ask("query", query=query)
            found = [] if answer is None else answer["result"]
            numbers = [each for each in found if each["value"][1] != "NaN"]
            if numbers:
                values[title] = numbers
        return set(values) == set(PANELS) - EMPTY

    eventually("each panel has data", is_answered, timeout_s=90.0, interval_s=1.0)
    statuses = {each["metric"]["status"] for each in values["Requests A"]}
    assert {"200", "503"} <= statuses
    assert {each["metric"]["model"] for each in values["Workers that were replaced A"]} >= {"ends"}
    groups = prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 6 and {rule["health"] for rule in rules} == {"ok"}
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    # What the dashboard's list of models is filled with.
    (listed,) = [each for each in DASHBOARD["templating"]["list"] if each["name"] == "model"]
    assert listed["query"] == "label_values(mms_workers, model)"
    names = prometheus.ask("label/model/values", **{"match[]": "mms_workers"})
    assert names == ["busy", "ends"]
