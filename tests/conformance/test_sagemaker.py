"""What SageMaker's hosts and tools rely on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import Address, Reply
from support.processes import (
    command_line,
    free_port,
    is_original,
    run_command,
    tagged_processes,
)
from support.server import Server, ServerPool, query

MAIN_WORD = "com.amazonaws.ml.mms.ModelServer"


class Host(Server):
    """A server started as SageMaker's own configuration starts it."""

    def __init__(self, directory: Path, **environment: str) -> None:
        address = Address(port=free_port())
        super().__init__(
            directory,
            inference=address,
            is_combined=True,
            environment={
                "SAGEMAKER_MODEL_STORE": str(directory / "store"),
                "SAGEMAKER_BIND_TO_PORT": str(address.port),
                "SAGEMAKER_RESPONSE_TIMEOUT": "60",
                "SAGEMAKER_NUM_MODEL_WORKERS": "1",
                "SAGEMAKER_HANDLER": "service:handle",
                "SAGEMAKER_MAX_RESPONSE_SIZE": "6553500",
                "SAGEMAKER_MAX_REQUEST_SIZE": "3000",
                **environment,
            },
            has_config_flag=False,
            arguments=["--mms-config", "sagemaker"],
        )
        self.config_file.unlink()
        #: Before any model is registered.
        self.first_ping: Reply | None = None


@pytest.fixture(scope="module")
def host(servers: ServerPool) -> Iterator[Host]:
    host = Host(servers.new_directory())
    host.start()
    host.first_ping = host.inference.get("/ping")
    yield host
    host.stop()


def test_there_is_one_listener(host: Host) -> None:
    assert host.inference.get("/models").status == 200
    assert "/ping" in host.inference.options("/").json()["paths"]
    assert "/models" in host.inference.options("/").json()["paths"]


def test_the_multi_model_calls_work(host: Host) -> None:
    order = {"model_name": "m", "url": "noop-no-manifest"}
    reply = host.inference.post_json("/models", order)
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    assert host.inference.post_json("/models", order).status == 409
    listed = host.inference.get("/models").json()["models"]
    assert {"modelName": "m", "modelUrl": "noop-no-manifest"} in listed
    assert host.inference.get("/models/m").json()["modelName"] == "m"
    assert host.inference.post("/models/m/invoke", b"x").body == b"OK"
    assert host.inference.delete("/models/m").status == 200
    assert host.inference.get("/models/m").status == 404
    assert host.inference.post("/models/m/invoke", b"x").status == 404


def test_input_is_handed_over_undecoded(host: Host) -> None:
    with host.registered("echo") as name:
        reply = host.inference.post_json(f"/models/{name}/invoke", {"data": "test"})
    assert "bytearray" in reply.text


def test_the_size_of_requests_is_limited_as_the_variable_says(host: Host) -> None:
    assert host.inference.post("/invocations", bytes(3001)).status == 413


# The original needs the jar of its ping plugin for this, which its wheel does not carry.
@pytest.mark.better_than_mms
def test_ping_is_healthy_once_a_model_is_loaded(host: Host) -> None:
    with host.registered("noop"):
        reply = host.inference.get("/ping")
    assert (reply.status, reply.body) == (200, b'{\n\t"Status": "Healthy"\n}\n')
    # It stays so: any worker of any model has loaded.
    assert host.inference.get("/ping").status == 200


def test_exactly_one_process_shows_the_word_that_tools_look_for(host: Host) -> None:
    with host.registered("inspect", initial_workers=2) as name:
        host.inference.post(f"/models/{name}/invoke", b"x")
        found = [
            process for process in tagged_processes(host.tag) if MAIN_WORD in command_line(process)
        ]
        assert len(found) == 1
        others = [process for process in tagged_processes(host.tag) if process not in found]
        assert others


def test_the_variables_are_mandatory(scratch: Path) -> None:
    missing = "SAGEMAKER_HANDLER"
    host = Host(scratch)
    del host.environment[missing]
    done = run_command(host.arguments, scratch, host.environment)
    assert f"Invalid configuration: Invalid Environment Variable {missing}" in (
        done.stdout + done.stderr
    )
    if not is_original():
        assert done.returncode == 1


# The original needs the jar of its ping plugin for this, which its wheel does not carry.
@pytest.mark.better_than_mms
def test_before_a_model_is_loaded_ping_is_503(host: Host) -> None:
    reply = host.first_ping
    assert reply is not None
    assert (reply.status, reply.reason) == (503, "Model loading...")
    assert reply.text.strip() == "Models are not loaded"


# The original needs the jar of its ping plugin for this, which its wheel does not carry.
@pytest.mark.better_than_mms
def test_in_multi_model_mode_ping_looks_for_the_handlers_file(scratch: Path) -> None:
    file = scratch / "service.py"
    file.write_text("def handle(data, context): ...\n")
    host = Host(
        scratch, SAGEMAKER_MULTI_MODE="true", SAGEMAKER_HANDLER=f"{scratch}/service:handle"
    ).start()
    try:
        assert host.inference.get("/ping").status == 200
        file.unlink()
        reply = host.inference.get("/ping")
    finally:
        host.stop()
    assert (reply.status, reply.reason) == (503, "Service file unavailable")
    assert reply.text.strip() == "Service file unavailable"


def test_query_registration_works_too(host: Host) -> None:
    reply = host.inference.post("/models?" + query(url="noop", model_name="queried"))
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    host.unregister("queried")


def test_started_for_sagemaker_an_error_in_initialize_is_ignored(host: Host) -> None:
    source = (
        "class Own:\n"
        "    def initialize(self, context):\n"
        "        raise ValueError('not today')\n"
        "    def handle(self, data, context):\n"
        "        return ['served'] * len(data)\n"
    )
    if not (host.store / "broken-class").exists():
        host.write_model("broken-class", source)
    with host.registered("broken-class") as name:
        assert host.inference.post(f"/models/{name}/invoke", b"x").body == b"served"
