"""Starts a server by command, looks for it in the list of processes, waits for its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

MMS_CONFIG_FILE = "/etc/sagemaker-mms.properties"
_MULTI_MODEL_CONFIG = """\
enable_envvars_config=true
model_store=/
default_service_handler=$$SAGEMAKER_HANDLER$$
default_workers_per_model=1
async_logging=true
decode_input_request=false
"""
_ONE_MODEL_CONFIG = """\
enable_envvars_config=true
decode_input_request=false
load_models=ALL
"""
_LOGGING = Path(__file__).with_name("log4j2.xml")


def start_model_server(
    handler_service: str = "sagemaker_inference.default_handler_service",
) -> None:
    base = os.environ["SAGEMAKER_BASE_DIR"]
    is_multi = os.environ.get("SAGEMAKER_MULTI_MODEL") == "true"
    os.environ.setdefault("SAGEMAKER_HANDLER", handler_service)
    model_dir = f"{base}/{'models' if is_multi else 'model'}"
    os.environ["PYTHONPATH"] = f"{model_dir}/code:{os.environ['PYTHONPATH']}"
    address = f"http://0.0.0.0:{os.environ['SAGEMAKER_BIND_TO_PORT']}"
    config = _MULTI_MODEL_CONFIG if is_multi else _ONE_MODEL_CONFIG
    config += (
        "default_response_timeout=60\n"
        f"inference_address={address}\n"
        f"management_address={address}\n"
        "vmargs=-XX:-UseContainerSupport\n"
    )
    if not is_multi:
        config += f"default_service_handler={handler_service}\n"
    Path(MMS_CONFIG_FILE).write_text(config)
    command = ["multi-model-server", "--start", "--model-store", "/"]
    command += ["--mms-config", MMS_CONFIG_FILE, "--log-config", str(_LOGGING)]
    if not is_multi:
        command += ["--models", f"model={model_dir}"]
    subprocess.Popen(command)
    server = _find_server()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(server.pid, signal.SIGTERM))
    server.wait()


def _find_server() -> psutil.Process:
    while True:
        found = [
            p for p in psutil.process_iter() if "com.amazonaws.ml.mms.ModelServer" in p.cmdline()
        ]
        if len(found) > 1:
            raise RuntimeError("multiple mms model servers are not supported")
        if found:
            return found[0]
        time.sleep(0.1)
