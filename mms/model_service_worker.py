"""MMS's own worker: a server of MMS's wire protocol, for tools that know it.

This server starts `python -m mms.worker` instead. Run as a program, it takes the options of MMS's worker.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from mms.model_loader import ModelLoader, ModelLoaderFactory
from mms.protocol.otf_message_handler import (
    LOAD_MSG,
    PREDICT_MSG,
    create_load_model_response,
    retrieve_msg,
)
from mms.service import Service, emit_metrics


class MXNetModelServiceWorker:
    """Listens on a socket and forks a worker for each connection."""

    def __init__(
        self,
        s_type: str | None = None,
        s_name: str | None = None,
        host_addr: str | None = None,
        port_num: int | str | None = None,
        model_request: dict[str, Any] | None = None,
        preload_model: bool = False,
        tmp_dir: str = "/tmp",
    ) -> None:
        """`s_type`: `unix` with the path `s_name`, or `tcp` with `port_num`. Raises ValueError or RuntimeError."""
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("MXNET_USE_OPERATOR_TUNING", "0")
        self.sock_type = s_type
        self.sock_name: str
        self.port: int | str
        if s_type == "unix":
            if s_name is None:
                raise ValueError("Wrong arguments passed. No socket name given.")
            self.sock_name, self.port = s_name, -1
            try:
                os.remove(s_name)
            except OSError:
                if os.path.exists(s_name):
                    raise RuntimeError(f"socket already in use: {s_name}.") from None
            family = socket.AF_UNIX
        elif s_type == "tcp":
            if port_num is None:
                raise ValueError("Wrong arguments passed. No socket port given.")
            self.sock_name, self.port = host_addr or "127.0.0.1", port_num
            family = socket.AF_INET
        else:
            raise ValueError("Invalid socket type provided")
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.preload = preload_model
        self.service: Service | None = None
        self.model_loader: ModelLoader | None = None
        self.model_meta_data = model_request
        self.tmp_dir = tmp_dir
        self.out: str | None = None
        self.err: str | None = None

    def __repr__(self) -> str:
        return f"<MXNetModelServiceWorker {self.sock_type} {self.sock_name} {self.port}>"

    def load_model(self, load_model_request: dict[str, Any] | None = None) -> tuple[str, int]:
        """(message, 200 or 507). Raises what the model's code raises but MemoryError."""
        request = load_model_request or {}
        try:
            if "ioFileDescriptor" in request:
                self._make_pipes(_text(request["ioFileDescriptor"]))
            model_name = _text(request["modelName"])
            if self.service is None or not self.preload:
                model_dir = _text(request["modelPath"])
                self.model_loader = ModelLoaderFactory.get_model_loader(model_dir)
                self.service = self.model_loader.load(
                    model_name,
                    model_dir,
                    _text(request["handler"]),
                    int(request["gpu"]) if "gpu" in request else None,
                    int(request.get("batchSize", 1)),
                )
            return f"loaded model {model_name}. [PID]:{os.getpid()}", 200
        except MemoryError:
            return "System out of memory", 507

    def handle_connection(self, cl_socket: socket.socket) -> None:
        """Answer requests until the connection ends, which is a ValueError, as is an unknown command."""
        logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
        cl_socket.setblocking(True)
        while True:
            command, request = retrieve_msg(cl_socket)
            if command == PREDICT_MSG and isinstance(request, list):
                if self.service is None:
                    raise ValueError("a batch came before a model was loaded")
                cl_socket.sendall(self.service.predict(request))
            elif command == LOAD_MSG and isinstance(request, dict):
                message, code = self.load_model(request)
                cl_socket.sendall(create_load_model_response(code, message))
                self._redirect_output()
                if code != 200:
                    raise RuntimeError(f"{code} - {message}")
            if self.service is not None and self.service.context.metrics is not None:
                emit_metrics(self.service.context.metrics.store)

    def start_worker(self, cl_socket: socket.socket) -> None:
        """Serve one connection, then leave the process."""
        self.sock.close()
        signal.signal(signal.SIGTERM, lambda number, frame: self._remove_files())
        try:
            self.handle_connection(cl_socket)
        except Exception as error:
            logging.info("Backend worker process ends: %s", error)
        finally:
            sys.stdout.flush()
            self._remove_files()
            cl_socket.close()
            os._exit(0)

    def run_server(self) -> None:
        """Listen; fork for each connection. Does not return."""
        if self.sock_type == "unix":
            self.sock.bind(self.sock_name)
        else:
            self.sock.bind((self.sock_name, int(self.port)))
        self.sock.listen(128)
        logging.info("[PID] %d", os.getpid())
        logging.info("MMS worker started.")
        logging.info("Python runtime: %s", platform.python_version())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            if self.service is None and self.preload:
                self.load_model(self.model_meta_data)
            connection, _ = self.sock.accept()
            if os.fork() == 0:
                self.start_worker(connection)
            connection.close()

    def _make_pipes(self, name: str) -> None:
        self.out = os.path.join(self.tmp_dir, f"{name}-stdout")
        self.err = os.path.join(self.tmp_dir, f"{name}-stderr")
        os.mkfifo(self.out)
        os.mkfifo(self.err)

    def _redirect_output(self) -> None:
        for path, stream in ((self.out, sys.stdout), (self.err, sys.stderr)):
            if path is not None:
                with open(path, "wb", buffering=0) as pipe:
                    os.dup2(pipe.fileno(), stream.fileno())

    def _remove_files(self) -> None:
        for path in (self.out, self.err):
            if path is not None and os.path.exists(path):
                os.remove(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as MMS's front end runs its worker. Does not return."""
    # The package's folder must not hide modules of the same names.
    folder = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]
    parser = argparse.ArgumentParser(prog="model-server-worker")
    parser.add_argument("--sock-type", required=True, choices=["unix", "tcp"])
    parser.add_argument("--sock-name")
    parser.add_argument("--host")
    parser.add_argument("--port")
    parser.add_argument("--handler", required=True)
    parser.add_argument("--model-path", required=True)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--preload-model", type=_truth, default=False)
    parser.add_argument("--tmp-dir", default="/tmp")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    request = {
        "handler": options.handler,
        "modelPath": options.model_path,
        "modelName": options.model_name,
    }
    MXNetModelServiceWorker(
        options.sock_type,
        options.sock_name,
        options.host,
        options.port,
        request,
        options.preload_model,
        options.tmp_dir,
    ).run_server()


def _text(value: str | bytes | bytearray) -> str:
    return value if isinstance(value, str) else value.decode("utf-8")


def _truth(word: str) -> bool:
    if word.lower() in ("yes", "true", "y", "1"):
        return True
    if word.lower() in ("no", "false", "n", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither yes nor no")


if __name__ == "__main__":
    main()
