"""TorchServe's own tests that need neither weights nor a network pass against `torchserve` of this server.

They are read from a checkout of TorchServe's repository that TORCHSERVE_CHECKOUT names; nothing of it is kept here.
With `--full`, files of its `test/pytest` run, each in a network namespace of its own as its ports are fixed, by the
Python that TORCHSERVE_TEST_PYTHON names. It has pytest, pytest-timeout, requests, orjson, grpcio-tools, pyyaml and
googleapis-common-protos; workers find torch and lru-dict in the folder TORCHSERVE_TEST_PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import TorchServe, archive

CHECKOUT = os.environ.get("TORCHSERVE_CHECKOUT", "")
#: What the collection's environment calls its archives; any model stands for them, as only statuses are compared.
ARCHIVES = ("squeezenet1_1", "mnist", "densenet161", "resnet-152-batch", "resnet-18")


@pytest.mark.skipif(not CHECKOUT, reason="TORCHSERVE_CHECKOUT names no checkout of TorchServe")
def test_torchserve_s_collection_of_management_calls_passes(torchserve: TorchServe) -> None:
    for name in ARCHIVES:
        archive(torchserve.store, name)
    rows = json.loads(Path(CHECKOUT, "test/postman/management_data.json").read_text())
    wrong = []
    for row in rows:
        path = re.sub(r"\{\{mar_path_([\w-]+)\}\}", r"\1.mar", row["path"])
        reply = torchserve.management.request(row["METHOD"].upper(), f"/{path}")
        if reply.status != row.get("status_code", 200):
            wrong.append((row["METHOD"], path, row.get("status_code", 200), reply.status))
    assert len(rows) > 50
    assert wrong == []


PYTHON = os.environ.get("TORCHSERVE_TEST_PYTHON", "")
#: By file: those of its tests that do not pass, and why. All others do, as they do against TorchServe 0.12.0.
DIFFERS: dict[str, dict[str, str]] = {
    "test_url_path.py": {},
    "test_example_stateful_sequence_continuous_batching_http.py": {},
    "test_send_intermediate_prediction_response.py": {},
    "test_model_config.py": {},
    "test_gRPC_model_control.py": {},
    "test_gRPC_management_apis.py": {},
    "test_metrics.py": dict.fromkeys(
        (
            "test_log_location_var_snapshot_enabled",
            "test_metrics_location_var_snapshot_enabled",
            "test_log_location_and_metric_location_vars_snapshot_enabled",
            "test_metrics_location_var_snapshot_enabled_rdonly_dir",
            "test_metrics_log_mode",
            "test_metrics_prometheus_mode",
            "test_auto_detect_backend_metrics_log_mode",
            "test_auto_detect_backend_metrics_prometheus_mode",
            "test_metrics_legacy_mode",
            "test_collect_system_metrics_when_not_disabled",
        ),
        "they ask a model with weights, without which TorchServe fails all of them but the last one, too",
    ),
    "test_model_control_mode.py": dict.fromkeys(
        ("test_register_model_failing_https", "test_delete_model_failing_https"),
        "its key has 1024 bits, which OpenSSL refuses",
    ),
    "test_token_authorization.py": dict.fromkeys(
        (
            "test_management_api_https",
            "test_managament_api_with_incorrect_token_https",
            "test_inference_api_with_token_https",
        ),
        "its key has 1024 bits, which OpenSSL refuses",
    ),
    "test_snapshot.py": dict.fromkeys(
        (
            "test_restart_torchserve_with_last_snapshot_with_model_mar_removed",
            "test_replace_mar_file_with_dummy",
            "test_restart_torchserve_with_one_of_model_mar_removed",
        ),
        "a model whose archive is missing leaves the others, and what has not changed is not written again",
    ),
}
#: Links that lead out of the model store are refused, so that its tests have copies.
_COPIES = (
    "import os, shutil\nos.symlink = lambda source, target, *more: shutil.copy(source, target)\n"
)
_HANDLER = "def handle(data, context):\n    return None if data is None else ['ok'] * len(data)\n"


@pytest.fixture(scope="module")
def checkout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with models without weights, and `torchserve` of this server on the path."""
    if not (CHECKOUT and PYTHON and request.config.getoption("--full")):
        pytest.skip(
            "takes minutes, and runs with --full, TORCHSERVE_CHECKOUT and TORCHSERVE_TEST_PYTHON"
        )
    folder = tmp_path_factory.mktemp("checkout")
    copy = folder / "checkout"
    unused = shutil.ignore_patterns("cpp", "examples", "docs", ".git", "logs", "model_store_gen")
    shutil.copytree(CHECKOUT, copy, ignore=unused, symlinks=True)
    (copy / "examples").mkdir()
    for entry in (Path(CHECKOUT).resolve() / "examples").iterdir():
        (copy / "examples" / entry.name).symlink_to(entry)
    _copy_stateful_example(copy / "examples/stateful")
    (folder / "handler.py").write_text(_HANDLER)
    rows = [
        {"model_name": name, "version": "1.0", "handler": str(folder / "handler.py")}
        for name in ARCHIVES
    ]
    (copy / "ts_scripts/mar_config.json").write_text(json.dumps(rows))
    commands = folder / "bin"
    commands.mkdir()
    for name, module in (
        ("torchserve", "mms.interfaces.torchserve.cli.torchserve"),
        ("torch-model-archiver", "archiver.torch.model_archiver"),
    ):
        own = Path(sys.executable).with_name(name)
        call = f"{sys.executable} -m {module}" if name == "torchserve" else str(own)
        command = commands / name
        path = os.environ.get("TORCHSERVE_TEST_PATH", "")
        command.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {call} "$@"\n')
        command.chmod(0o755)
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(_COPIES)
    protos = copy / "frontend/server/src/main/resources/proto"
    include = subprocess.run(
        [
            PYTHON,
            "-c",
            "import google.rpc, os; print(os.path.dirname(list(google.rpc.__path__)[0]))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    subprocess.run(
        [
            *(PYTHON, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{Path(include).parent}"),
            *(f"--python_out={folder / 'site'}", f"--grpc_python_out={folder / 'site'}"),
            *sorted(map(str, protos.glob("*.proto"))),
        ],
        check=True,
    )
    return copy


def _copy_stateful_example(folder: Path) -> None:
    """Its handler reads no weights, which are not in the repository, and there is no network to get packages from."""
    source = folder.resolve()
    folder.unlink()
    shutil.copytree(source, folder)
    (folder / "model_cnn.pt").touch()
    (folder / "requirements.txt").write_text("")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", DIFFERS)
def test_a_file_of_torchserve_s_own_tests_passes(checkout: Path, file: str) -> None:
    folder = checkout.parent
    temp = folder / f"tmp-{Path(file).stem}"
    (temp / "workspace/model_store").mkdir(parents=True)
    paths = [
        folder / "site",
        checkout / "model-archiver",
        os.environ.get("TORCHSERVE_TEST_PATH", ""),
    ]
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{Path(PYTHON).parent}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(map(str, paths)),
        "TMPDIR": str(temp),
    }
    run = f"ip link set lo up && exec {PYTHON} -m pytest -q -rfEp --timeout 300 -p no:cacheprovider {file}"
    ran = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", run],
        cwd=checkout / "test/pytest",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    wrong = set(re.findall(rf"^(?:FAILED|ERROR) {re.escape(file)}::(\w+)", ran.stdout, re.M))
    passed = set(re.findall(rf"^PASSED {re.escape(file)}::(\w+)", ran.stdout, re.M))
    assert passed, ran.stdout[-5000:]
    assert wrong <= set(DIFFERS[file]), ran.stdout[-20000:]
