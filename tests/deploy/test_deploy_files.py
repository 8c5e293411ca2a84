"""The files of deploy/: what they tell the server is a setting, what they ask it is a route, and times fit together."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mms.arg_parser import ArgParser
from mms.cli.pages.routes import apis_without_models
from mms.http.listener_apis import Apis
from mms.processes.launch_options import LaunchOptions
from mms.settings import Settings, all_options, load_settings

from .conftest import CHART, DEPLOY, MANIFESTS, documents, manifest

ROOT = DEPLOY.parent
FILES = sorted(
    path
    for path in DEPLOY.rglob("*.yaml")
    if path.parent.name != "templates"  # not YAML before Helm has filled them in
)
#: Variables of the server that are no settings.
OTHER_VARIABLES = {"TEMP", "LOG_LOCATION", "METRICS_LOCATION", "PYTHONUNBUFFERED"}


def settings_of(text: str, tmp_path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return what the server makes of a properties file. Fails where it would warn."""
    file = tmp_path / "config.properties"
    file.write_text(text, encoding="utf-8")
    settings = load_settings(LaunchOptions(mms_config=str(file)), environ=environ or {})
    assert settings.notices == []
    assert set(settings.raw) <= set(all_options())
    return settings


def members(value: Any, name: str) -> Iterator[Any]:
    """Yield each member of this name, at whatever depth."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == name:
                yield each
            yield from members(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from members(each, name)


@cache
def routes() -> set[str]:
    return {route.pattern for route in apis_without_models().routes(Apis.INFERENCE)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_probes_of_every_file_ask_for_routes_and_its_variables_are_settings(path: Path) -> None:
    for document in documents(path):
        assert {probe["path"] for probe in members(document, "httpGet")} <= routes()
        variables: set[str] = set()
        for env in members(document, "env"):
            variables.update(each["name"] for each in env)
        for environment in members(document, "environment"):
            variables.update(environment)
        settings = {name.removeprefix("MMS_").lower() for name in variables - OTHER_VARIABLES}
        assert settings <= set(all_options())


def pod() -> dict[str, Any]:
    return dict(manifest("deployment")["spec"]["template"]["spec"])


def config() -> str:
    return str(manifest("config")["data"]["config.properties"])


def test_the_pods_ports_are_those_that_the_server_listens_on(tmp_path: Path) -> None:
    settings = settings_of(config(), tmp_path)
    (container,) = pod()["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "http": settings.inference_address.port,
        "metrics": settings.get("metrics_address").port,
    }
    assert settings.management_address.host == "127.0.0.1"
    (service_port,) = manifest("service")["spec"]["ports"]
    assert service_port["targetPort"] in ports
    (endpoint,) = manifest("pod-monitor")["spec"]["podMetricsEndpoints"]
    assert ports[endpoint["port"]] == 8082
    assert {probe["port"] for probe in members(container, "httpGet")} == {"http"}


def test_a_pod_has_the_time_that_its_delay_and_its_drain_take(tmp_path: Path) -> None:
    (container,) = pod()["containers"]
    program, delay = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    drain_s = settings_of(config(), tmp_path).drain_timeout_s
    assert pod()["terminationGracePeriodSeconds"] >= int(delay) + drain_s + 10


def test_each_mounted_volume_is_one_of_the_pods_and_the_store_is_the_claims(
    tmp_path: Path,
) -> None:
    (container,) = pod()["containers"]
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == set(volumes)
    assert mounts["store"]["mountPath"] == settings_of(config(), tmp_path).models_dir
    claim = volumes["store"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest("store")["metadata"]["name"]
    (shell_volume,) = manifest("store-shell")["spec"]["volumes"]
    assert shell_volume["persistentVolumeClaim"]["claimName"] == claim
    written = {each["value"] for each in container["env"] if each["name"] in OTHER_VARIABLES}
    assert all(Path(path).is_relative_to(mounts["scratch"]["mountPath"]) for path in written)


def test_all_selectors_of_the_manifests_find_the_deployments_pods() -> None:
    labels = manifest("deployment")["spec"]["template"]["metadata"]["labels"].items()
    for name in ("deployment", "disruption-budget", "pod-monitor"):
        assert manifest(name)["spec"]["selector"]["matchLabels"].items() <= labels
    assert manifest("service")["spec"]["selector"].items() <= labels
    target = manifest("autoscaler")["spec"]["scaleTargetRef"]["name"]
    assert target == manifest("deployment")["metadata"]["name"]


def test_the_autoscaler_asks_for_a_metric_that_the_adapter_is_told_to_make() -> None:
    (metric,) = manifest("autoscaler")["spec"]["metrics"]
    (rule,) = manifest("prometheus-adapter-values")["rules"]["custom"]
    assert rule["seriesQuery"].startswith(metric["pods"]["metric"]["name"] + "{")


def test_the_kustomization_names_the_files_beside_it() -> None:
    text = (MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"- ([a-z-]+\.yaml)$", text, re.MULTILINE))
    others = {"kustomization.yaml", "store-shell.yaml", "prometheus-adapter-values.yaml"}
    assert named == {path.name for path in MANIFESTS.glob("*.yaml")} - others


def test_the_charts_values_fit_its_schema_which_refuses_what_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    (values,) = documents(CHART / "values.yaml")
    jsonschema.validate(values, schema)
    assert set(values["settings"]) <= set(all_options())
    for change in (
        {"replica": 2},
        {"store": {"accesMode": "ReadWriteMany"}},
        {"settings": {"models_dir": "/elsewhere"}},
        {"settings": {"memory_limit": "1G\nkeys_file=x"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values | change, schema)


def test_the_chart_refuses_as_a_setting_what_it_sets_itself() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    refused = schema["properties"]["settings"]["propertyNames"]["not"]["enum"]
    text = (CHART / "templates" / "config.yaml").read_text(encoding="utf-8")
    own = re.findall(r"^ +([a-z_]+)=", text, re.MULTILINE)
    assert sorted(refused) == sorted(own)
    assert set(own) <= set(all_options())


def test_templates_use_every_value_of_the_chart_and_no_other() -> None:
    (values,) = documents(CHART / "values.yaml")
    used = set()
    for path in (CHART / "templates").iterdir():
        used.update(re.findall(r"\.Values\.([\w.]+)", path.read_text(encoding="utf-8")))
    groups = {"image", "store", "service", "grpc", "drain"}
    groups |= {"autoscaling", "podMonitor", "disruptionBudget", "modelsFile"}
    names = {
        f"{name}.{member}" if name in groups else name
        for name, value in values.items()
        for member in (value if name in groups else [""])
    }
    assert used == names


def unit() -> configparser.SectionProxy:
    # Keys that come more than once are of variables, which others of this file read.
    text = (DEPLOY / "systemd" / "multi-model-server.service").read_text(encoding="utf-8")
    found = configparser.RawConfigParser(strict=False)
    found.read_string(text)
    return found["Service"]


def test_the_units_command_is_the_servers_and_its_time_to_stop_is_enough(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "config.properties").read_text(encoding="utf-8")
    settings = settings_of(text, tmp_path)
    program, *words = shlex.split(unit()["ExecStart"])
    assert Path(program).name == "multi-model-server"
    assert ArgParser.mms_parser().parse_args(words).foreground
    assert float(unit()["TimeoutStopSec"]) >= settings.drain_timeout_s + 10
    owned = [f"/var/lib/{name}" for name in unit()["StateDirectory"].split()]
    assert settings.models_dir in owned
    assert str(Path(str(settings.state_file)).parent) in owned


def test_the_composed_server_is_built_here_and_has_the_time_to_drain() -> None:
    (compose,) = documents(DEPLOY / "compose" / "compose.yaml")
    server = compose["services"]["server"]
    assert (DEPLOY / "compose" / server["build"] / "Dockerfile").exists()
    drain_s = float(server["environment"]["MMS_DRAIN_TIMEOUT_S"])
    assert float(server["stop_grace_period"].removesuffix("s")) >= drain_s + 10


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_unit(is_full: bool, tmp_path: Path) -> None:
    if not is_full:
        pytest.skip("runs with --full")
    text = (DEPLOY / "systemd" / "multi-model-server.service").read_text(encoding="utf-8")
    # Verified is also that the program exists.
    text = text.replace("/opt/model-server/bin/multi-model-server", "/bin/true")
    copy = tmp_path / "multi-model-server.service"
    copy.write_text(text, encoding="utf-8")
    finished = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
