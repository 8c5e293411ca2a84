"""The dashboard and the alerts ask for metrics and labels that the server has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mms.core import WorkerState
from mms.observe.metrics.prometheus import PrometheusText

from .conftest import DEPLOY, documents

ALERTS = DEPLOY / "monitoring" / "alerts.yaml"
DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
#: Parts of a family -> what each has beside the family's labels.
PARTS = {
    "counter": {"_total": set[str]()},
    "gauge": {"": set[str]()},
    "histogram": {"_bucket": {"le"}, "_sum": set[str](), "_count": set[str]()},
}


def series() -> dict[str, set[str]]:
    """Return every series of the server's own table: its name, and the names of its labels."""
    recorder = SimpleNamespace(aggregates=SimpleNamespace(requests={}, batches={}))
    text = PrometheusText(cast(Any, recorder), list, server_version="")
    return {
        family.name + suffix: {*getattr(family, "_labelnames", ()), *more}
        for family in text.collect()
        for suffix, more in PARTS.get(family.type, {}).items()
    }


def expressions() -> list[str]:
    rules = [rule for group in documents(ALERTS)[0]["groups"] for rule in group["rules"]]
    targets = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [each["expr"] for each in (*rules, *targets)]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_metrics_and_labels_of_the_server(expression: str) -> None:
    known = series()
    names = re.findall(r"\bmms_\w+", expression)
    assert names and set(names) <= set(known)
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        # Prometheus adds the instance.
        asked = set(labels.split(", ")) - {"instance"}
        assert all(asked <= known[name] for name in names)
    for name, matchers in re.findall(r"(mms_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)(?:=~|!=|=)", matchers)) <= known[name]
        for states in re.findall(r'state=~"([^"]*)"', matchers):
            assert set(states.split("|")) <= {state.value for state in WorkerState}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_takes_the_alerts_and_every_query_and_has_the_alerts_fire_as_tried(
    is_full: bool, tmp_path: Path
) -> None:
    if not is_full:
        pytest.skip("runs with --full")
    queries = [
        {"record": f"panel_{number}", "expr": each.replace("$__rate_interval", "1m")}
        for number, each in enumerate(expressions())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": queries}]}))
    finished = subprocess.run(
        ["promtool", "check", "rules", str(ALERTS), str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    finished = subprocess.run(
        ["promtool", "test", "rules", str(Path(__file__).with_name("alerts_test.yaml"))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_each_alert_is_tried_when_it_fires_and_when_it_does_not() -> None:
    (alerts,) = documents(ALERTS)
    names = {rule["alert"] for group in alerts["groups"] for rule in group["rules"]}
    (tried,) = documents(Path(__file__).with_name("alerts_test.yaml"))
    cases = [case for test in tried["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
