"""Starts the server as the entry point of a SageMaker container does: `start.py CONFIG_FILE`.

Run with the package sagemaker-inference, or with what stands for it here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import psutil
from sagemaker_inference import model_server

TAG = "CONFORMANCE_PROCESS_TAG"


def own_processes() -> Iterator[psutil.Process]:
    """Those of this test: a container has no others."""
    for process in _all_processes():
        try:
            if process.environ().get(TAG) == os.environ[TAG]:
                yield process
        except psutil.Error:
            continue


_all_processes = psutil.process_iter
psutil.process_iter = own_processes
# Below /etc in a container.
model_server.MMS_CONFIG_FILE = sys.argv[1]
model_server.start_model_server()
