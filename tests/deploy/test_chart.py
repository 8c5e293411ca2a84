"""The chart by Helm's own engine, and the manifests by the schemas of Kubernetes: with `--full`.

`pip install "marserve[deploy]"` has both: helm-python-sdk and kubernetes-validate.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mms.processes.launch_options import LaunchOptions
from mms.serving.watched.desired_state import read_desired_state
from mms.settings import load_settings

from .conftest import CHART, MANIFESTS, documents

Render = Callable[..., dict[str, dict[str, Any]]]
#: Kinds that Kubernetes itself does not have.
FOREIGN = {"Kustomization", "PodMonitor"}


@pytest.fixture
def render(is_full: bool) -> Render:
    """Return what renders the chart: file name -> object."""
    if not is_full:
        pytest.skip("runs with --full")
    helm = pytest.importorskip("helm_python", reason='needs pip install "marserve[deploy]"')

    def run(**values: Any) -> dict[str, dict[str, Any]]:
        with helm.Chart.load(str(CHART)) as chart:
            chart.validate_schema(values)
            files = chart.render(values, name="model-server", namespace="default")
        made = {
            Path(name).name: yaml.safe_load(text)
            for name, text in files.items()
            if name.endswith(".yaml")
        }
        return {name: document for name, document in made.items() if document is not None}

    return run


def check(document: dict[str, Any]) -> None:
    validate = importlib.import_module("kubernetes_validate").validate
    if document["kind"] not in FOREIGN:
        validate(document, "1.30", strict=True)


ALL = {
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"max_request_size": 104857600, "allowed_urls": r"https://a\.b/.*", "debug": True},
    "env": [{"name": "MMS_JOB_QUEUE_SIZE", "value": "7"}],
    "store": {"accessMode": "ReadWriteOnce", "storageClassName": "fast"},
    "modelsFile": {
        "enabled": True,
        "models": [{"url": "a.mar", "model_name": "a", "batch_size": 8}],
        "defaults": {"a": "2.0"},
    },
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "grpc": {"enabled": True},
    "keysSecret": "keys",
    "podMonitor": {"enabled": True, "credentials": {"name": "keys", "key": "prometheus"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}


def test_helm_finds_no_fault_in_the_chart(render: Render) -> None:
    helm = importlib.import_module("helm_python")
    assert helm.lint(str(CHART))["errors"] == []


@pytest.mark.parametrize("values", [{}, ALL], ids=["defaults", "all"])
def test_kubernetes_takes_what_the_chart_makes(render: Render, values: dict[str, Any]) -> None:
    for document in render(**values).values():
        check(document)


def test_kubernetes_takes_the_manifests(is_full: bool) -> None:
    if not is_full:
        pytest.skip("runs with --full")
    pytest.importorskip("kubernetes_validate", reason='needs pip install "marserve[deploy]"')
    for path in MANIFESTS.glob("*.yaml"):
        for document in documents(path):
            if "kind" in document:
                check(document)


def test_the_manifests_are_what_the_chart_makes(render: Render) -> None:
    made = render(autoscaling={"enabled": True}, podMonitor={"enabled": True})
    # What only an upgrade by Helm needs.
    del made["deployment.yaml"]["spec"]["template"]["metadata"]["annotations"]
    del made["store.yaml"]["metadata"]["annotations"]
    others = {"kustomization.yaml", "store-shell.yaml", "prometheus-adapter-values.yaml"}
    names = {path.name for path in MANIFESTS.glob("*.yaml")} - others
    assert made == {name: documents(MANIFESTS / name)[0] for name in names}


def test_settings_reach_the_server_as_they_were_given(render: Render, tmp_path: Path) -> None:
    file = tmp_path / "config.properties"
    file.write_text(render(**ALL)["config.yaml"]["data"]["config.properties"], encoding="utf-8")
    settings = load_settings(LaunchOptions(mms_config=str(file)), environ={})
    assert settings.max_request_size == 104857600
    assert settings.raw["allowed_urls"] == r"https://a\.b/.*"
    assert settings.debug


def test_the_list_of_models_reaches_the_server_as_the_file_that_it_follows(
    render: Render, tmp_path: Path
) -> None:
    made = render(**ALL)
    file = tmp_path / "config.properties"
    file.write_text(made["config.yaml"]["data"]["config.properties"], encoding="utf-8")
    settings = load_settings(LaunchOptions(mms_config=str(file)), environ={})
    [text] = made["models.yaml"]["data"].values()
    [model] = read_desired_state(text.encode()).models
    assert (model.name, model.options.batch_size) == ("a", 8)
    container = made["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]
    folders = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert settings.models_file == f"{folders['models']}/models.yaml"
    assert (settings.models_dir, settings.model_store) == (None, folders["store"])
