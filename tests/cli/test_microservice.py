"""`mms microservice`: what Seldon's command line and variables come to."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mms.cli import starting
from mms.interfaces.seldon.cli.environment import Given, Plan, WrongEnvironment, plan
from mms.interfaces.seldon.cli.microservice import microservice
from mms.processes.launch_options import LaunchOptions
from mms.settings import load_settings

NOWHERE = Path("/nowhere/annotations")


def planned(
    environ: dict[str, str] | None = None,
    *,
    is_grpc_installed: bool = True,
    annotations: Path = NOWHERE,
    **given: Any,
) -> Plan:
    return plan(
        Given("Model", **given),
        environ or {},
        is_grpc_installed=is_grpc_installed,
        annotations=annotations,
    )


def test_the_ports_are_seldons_on_all_interfaces() -> None:
    settings = planned().settings
    assert settings["inference_address"] == "http://0.0.0.0:9000"
    assert settings["grpc_address"] == "grpc://0.0.0.0:5000"
    assert settings["seldon_metrics_address"] == "http://0.0.0.0:6000"
    assert settings["default_model"] == "Model"


@pytest.mark.parametrize(
    ("environ", "given", "key", "port"),
    [
        ({"PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9001"}, {}, "inference_address", 9001),
        ({"PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "1"}, {"http_port": 2}, "inference_address", 2),
        ({"PREDICTIVE_UNIT_GRPC_SERVICE_PORT": "9500"}, {}, "grpc_address", 9500),
        ({"PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6001"}, {}, "seldon_metrics_address", 6001),
        ({"PREDICTIVE_UNIT_SERVICE_PORT": "9002"}, {}, "inference_address", 9002),
        ({"PREDICTIVE_UNIT_SERVICE_PORT": "1"}, {"api_type": "GRPC"}, "grpc_address", 1),
        (
            {"PREDICTIVE_UNIT_SERVICE_PORT": "1", "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "2"},
            {},
            "inference_address",
            2,
        ),
    ],
)
def test_ports_come_from_options_before_variables(
    environ: dict[str, str], given: dict[str, Any], key: str, port: int
) -> None:
    assert planned(environ, **given).settings[key].endswith(f":{port}")


def test_the_component_is_the_folders_class_with_its_parameters() -> None:
    parameter = {"name": "n", "value": "5", "type": "INT"}
    component = plan(
        Given(
            "pkg.sub.Router",
            service_type="ROUTER",
            parameters=json.dumps([parameter]),
            workers=3,
            model_path=Path("/app"),
        ),
        {"PREDICTIVE_UNIT_PARAMETERS": "[]", "GUNICORN_WORKERS": "8"},
        is_grpc_installed=False,
        annotations=NOWHERE,
    ).component
    assert component == {
        "folder": "/app",
        "model_name": "Router",
        "handler": "pkg.sub.Router",
        "interface": "seldon",
        "service_type": "ROUTER",
        "initial_workers": 3,
        "parameters": [parameter],
    }


def test_parameters_and_workers_come_from_their_variables() -> None:
    parameters = '[{"name": "model_uri", "value": "/mnt/models", "type": "STRING"}]'
    component = planned(
        {"PREDICTIVE_UNIT_PARAMETERS": parameters, "GUNICORN_WORKERS": "2"}
    ).component
    assert component["parameters"] == json.loads(parameters)
    assert component["initial_workers"] == 2


def test_grpc_is_served_where_it_is_installed_and_its_absence_is_told() -> None:
    assert planned(is_grpc_installed=True).has_grpc
    absent = planned(is_grpc_installed=False)
    assert not absent.has_grpc
    assert "grpc_address" not in absent.settings
    assert absent.notices == ["gRPC is not served: pip install 'marserve[grpc]' adds it"]


@pytest.mark.parametrize("given", [{"api_type": "REST"}, {"grpc_workers": 0}])
def test_grpc_can_be_left_out(given: dict[str, Any]) -> None:
    assert not planned(**given).has_grpc
    assert not planned({"GRPC_WORKERS": "0"}).has_grpc


@pytest.mark.parametrize("given", [{"api_type": "GRPC"}, {"grpc_port": 5000}, {"grpc_workers": 1}])
def test_grpc_that_is_asked_for_and_not_installed_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(WrongEnvironment, match=r"pip install 'marserve\[grpc\]'"):
        planned(is_grpc_installed=False, **given)


def test_annotations_give_the_timeout_and_the_size_of_grpc_messages(tmp_path: Path) -> None:
    file = tmp_path / "annotations"
    file.write_text(
        'seldon.io/rest-timeout = "2500"\nseldon.io/grpc-max-message-size="1048576"\nother="x=y"\n'
    )
    settings = planned(annotations=file).settings
    assert settings["default_response_timeout_seconds"] == "2"
    assert settings["grpc_max_request_size"] == "1048576"


def test_a_timeout_below_a_second_is_one(tmp_path: Path) -> None:
    file = tmp_path / "annotations"
    file.write_text('seldon.io/rest-timeout="10"\n')
    assert planned(annotations=file).settings["default_response_timeout_seconds"] == "1"


@pytest.mark.parametrize(
    ("environ", "given", "is_on"),
    [
        ({}, {}, "false"),
        ({}, {"access_log": True}, "true"),
        ({"GUNICORN_ACCESS_LOG": "true"}, {}, "true"),
        ({"GUNICORN_ACCESS_LOG": "0"}, {}, "false"),
    ],
)
def test_the_access_log_is_off_unless_asked_for(
    environ: dict[str, str], given: dict[str, Any], is_on: str
) -> None:
    assert planned(environ, **given).settings["access_log"] == is_on


def test_the_log_level_of_the_variable_comes_before_the_options() -> None:
    assert planned({"SELDON_LOG_LEVEL": "ERROR"}, log_level="DEBUG").log_level == "ERROR"
    assert planned(log_level="warning").log_level == "WARN"


def test_a_component_is_kept_where_persistence_is_on() -> None:
    assert "persistence_file" not in planned().component
    kept = planned(persistence=1, state_dir=Path("/var/state"))
    assert kept.component["persistence_file"] == "/var/state/Model.pickle"
    assert kept.notices == []
    assert "the last one to write wins" in planned(persistence=1, workers=2).notices[0]


def test_what_has_no_effect_is_named() -> None:
    plan_ = planned(
        {"TRACING": "1", "FLASK_DEBUG": "1", "GUNICORN_THREADS": "4"},
        without_effect={"threads": 8, "debug": None, "max_requests": 0},
    )
    assert plan_.ignored == ["--threads", "GUNICORN_THREADS", "TRACING", "FLASK_DEBUG"]


@pytest.mark.parametrize(
    ("environ", "given", "message"),
    [
        ({"GUNICORN_WORKERS": "many"}, {}, "GUNICORN_WORKERS=many should be a whole number"),
        ({}, {"workers": 0}, "--workers must be 1 or more, not 0"),
        ({"PREDICTIVE_UNIT_PARAMETERS": "["}, {}, "PREDICTIVE_UNIT_PARAMETERS is not valid JSON"),
        ({}, {"parameters": '[{"name": "n"}]'}, '--parameters: parameter .* has no "value"'),
        ({}, {"log_level": "LOUD"}, "log level LOUD is not one of DEBUG"),
        ({}, {"http_port": 70000}, "70000 is not a port"),
    ],
)
def test_what_cannot_be_used_is_told_by_its_name(
    environ: dict[str, str], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(WrongEnvironment, match=message):
        planned(environ, **given)


# The command


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[LaunchOptions]:
    """What would have become of this process."""
    found: list[LaunchOptions] = []

    def become(options: LaunchOptions, *_: Any) -> None:
        found.append(options)

    monkeypatch.setattr(starting, "become", become)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("PREDICTIVE_UNIT_PARAMETERS", "SELDON_LOG_LEVEL", "GUNICORN_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    return found


def call(*words: str) -> Result:
    ports = ["--http-port", "0", "--metrics-port", "0", "--grpc-workers", "0"]
    return CliRunner().invoke(microservice, [*words, *ports])


@pytest.mark.parametrize("api_type", [[], ["REST"]])
def test_the_cmd_of_a_primehub_image_starts_a_server(
    started: list[LaunchOptions], api_type: list[str]
) -> None:
    words = ["Model", *api_type, "--service-type", "MODEL", "--persistence", "0", "--access-log"]
    result = call(*words)
    assert result.exit_code == 0, result.output
    (options,) = started
    assert options.component is not None
    assert json.loads(options.component)["handler"] == "Model"
    assert options.settings["access_log"] == "true"


def test_the_server_reads_the_settings_that_the_command_makes(
    started: list[LaunchOptions],
) -> None:
    assert call("Model", "--set", "job_queue_size=7", "--keepalive", "5").exit_code == 0
    options = LaunchOptions.from_argv(started[0].to_argv())
    settings = load_settings(options, environ={})
    assert str(settings.inference_address) == "http://0.0.0.0:0"
    assert settings.default_model == "Model"
    assert settings.job_queue_size == 7
    assert settings.keep_alive_timeout_s == 5
    assert not settings.access_log
    assert [text for _, text in settings.notices if "unknown" in text] == []


def test_seldons_options_without_effect_are_accepted_and_named_in_a_line(
    started: list[LaunchOptions],
) -> None:
    words = ["--threads", "2", "--max-requests", "9", "--tracing", "--debug", "--single-threaded"]
    result = call("Model", *words, "1")
    assert result.exit_code == 0, result.output
    assert (
        "These have no effect here: --threads, --max-requests, --single-threaded, --debug, --tracing"
        in result.output
    )


def test_the_log_level_reaches_the_server(started: list[LaunchOptions], tmp_path: Path) -> None:
    assert call("Model", "--log-level", "ERROR").exit_code == 0
    assert started[0].log_config is not None
    assert Path(started[0].log_config).read_text() == "log4j.rootLogger=ERROR\n"


def test_a_folder_of_somebody_else_is_not_written_to(
    started: list[LaunchOptions], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / f"mms-microservice-{os.getuid()}-0").symlink_to(other)
    assert call("Model", "--log-level", "ERROR").exit_code == 0
    assert list(other.iterdir()) == []


def test_a_pid_file_names_the_server(started: list[LaunchOptions], tmp_path: Path) -> None:
    assert call("Model", "--pidfile", str(tmp_path / "pid")).exit_code == 0
    assert started[0].pid_file == str(tmp_path / "pid")


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(
    started: list[LaunchOptions],
) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ["Model", "--http-port", str(port), "--grpc-workers", "0", "--metrics-port", "0"]
        result = CliRunner().invoke(microservice, words)
    assert result.exit_code == 1
    assert f"port {port} of REST is taken by python" in result.output
    assert f"process {os.getpid()}; --http-port chooses another" in result.output
    assert started == []


def test_where_the_usual_management_port_is_taken_another_one_is_free(
    started: list[LaunchOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr("mms.cli.serve.ports.MANAGEMENT_PORT", taken)
        assert call("Model").exit_code == 0
    address = started[0].settings["management_address"]
    assert int(address.rpartition(":")[2]) not in (0, taken)


def test_an_unknown_option_is_refused(started: list[LaunchOptions]) -> None:
    assert call("Model", "--unknown").exit_code == 2
    assert call("Model", "SOAP").exit_code == 2
    assert started == []


def test_the_command_is_one_of_mms() -> None:
    from mms.cli.mms import main

    result = CliRunner().invoke(main, ["microservice", "--help"], env=dict(os.environ))
    assert result.exit_code == 0
    assert "Usage: mms microservice" in result.output
