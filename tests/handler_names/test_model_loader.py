"""`mms.model_loader` and `mms.model_service_worker`, for tools that were written for MMS."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from mms.model_loader import LegacyModelLoader, MmsModelLoader, ModelLoader, ModelLoaderFactory
from mms.model_service_worker import MXNetModelServiceWorker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "MAR-INF" / "MANIFEST.json").write_text('{"model": {}}')
    yield tmp_path
    for name in ("loader_one", "loader_two", "loader_legacy"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["MAR-INF/MANIFEST.json"], MmsModelLoader),
        (["MAR-INF/MANIFEST.json", "MANIFEST.json"], MmsModelLoader),
        (["MANIFEST.json"], LegacyModelLoader),
        ([], MmsModelLoader),
    ],
)
def test_the_manifest_chooses_the_loader(
    tmp_path: Path, files: list[str], kind: type[ModelLoader]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert type(ModelLoaderFactory.get_model_loader(str(tmp_path))) is kind


def test_a_function_is_the_entry_point(model_dir: Path) -> None:
    (model_dir / "loader_one.py").write_text("def own(data, context):\n    return ['own']\n")
    loader = MmsModelLoader()
    service = loader.load("m", str(model_dir), "loader_one:own", 1, 2)
    assert service._entry_point([], service.context) == ["own"]
    assert service.context.manifest == {"model": {}}
    assert service.context.system_properties["gpu_id"] == 1
    assert service.context.metrics is not None
    assert loader.module is sys.modules["loader_one"]
    loader.unload()
    assert not hasattr(sys.modules["loader_one"], "own")


def test_the_only_class_is_the_entry_point(model_dir: Path) -> None:
    (model_dir / "loader_one.py").write_text(
        "class Own:\n"
        "    def initialize(self, context):\n        self.word = context.model_name\n"
        "    def handle(self, data, context):\n        return [self.word]\n"
    )
    service = MmsModelLoader().load("m", str(model_dir), "loader_one:handle", None, 1)
    assert service._entry_point([], service.context) == ["m"]


def test_without_a_function_or_a_single_class_there_is_no_entry_point(model_dir: Path) -> None:
    (model_dir / "loader_two.py").write_text("class One:\n    pass\nclass Two:\n    pass\n")
    with pytest.raises(ValueError, match="^Expected only one class"):
        MmsModelLoader().load("m", str(model_dir), "loader_two:absent", None, 1)


def test_a_legacy_service_is_loaded(model_dir: Path) -> None:
    (model_dir / "MANIFEST.json").write_text('{"Model": {"Signature": "signature.json"}}')
    (model_dir / "signature.json").write_text('{"inputs": [{"data_name": "d"}], "input_type": ""}')
    (model_dir / "loader_legacy.py").write_text(
        "from mms.model_service.model_service import SingleNodeService\n"
        "class Own(SingleNodeService):\n    pass\n"
    )
    service = LegacyModelLoader().load("m", str(model_dir), "loader_legacy", None, 1)
    assert service._entry_point([{"d": "x"}], service.context) == ["x"]


def test_classes_of_a_module_are_listed_by_their_parent() -> None:
    module = sys.modules["mms.model_loader"]
    assert ModelLoader.list_model_services(module, MmsModelLoader) == [MmsModelLoader]
    assert ModelLoaderFactory in ModelLoader.list_model_services(module)


# The worker


def test_a_socket_type_is_required() -> None:
    with pytest.raises(ValueError, match="Invalid socket type provided"):
        MXNetModelServiceWorker()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_an_address_is_required(kind: str) -> None:
    with pytest.raises(ValueError, match="Wrong arguments passed"):
        MXNetModelServiceWorker(kind)


def test_a_socket_file_that_cannot_be_removed_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "socket").mkdir()
    with pytest.raises(RuntimeError, match=f"socket already in use: {tmp_path}/socket."):
        MXNetModelServiceWorker("unix", f"{tmp_path}/socket")


def number(value: int) -> bytes:
    return struct.pack("!i", value)


def sized(content: bytes) -> bytes:
    return number(len(content)) + content


@pytest.fixture
def old_worker(model_dir: Path) -> Iterator[socket.socket]:
    """A connection to the worker, run as MMS's front end runs it."""
    (model_dir / "loader_one.py").write_text(
        "def handle(data, context):\n    return data and [str(d) for d in data]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "mms" / "model_service_worker.py")),
            *("--sock-type", "tcp", "--port", str(port), "--model-name", "m"),
            *("--model-path", str(model_dir), "--handler", "loader_one:handle"),
            *("--preload-model", "false", "--tmp-dir", str(model_dir)),
        ],
        cwd=model_dir,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(model_dir), str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"Python runtime:"):
            break
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        yield connection
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def receive(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += connection.recv(size - len(content)) or b"!"
    return content


def opened(path: Path) -> Path:
    eventually(f"{path} is there", path.exists)
    return path


def test_the_worker_speaks_the_old_protocol(old_worker: socket.socket, model_dir: Path) -> None:
    load = b"L" + sized(b"m") + sized(str(model_dir).encode()) + number(1)
    old_worker.sendall(load + sized(b"loader_one:handle") + number(-1) + sized(b"io"))
    with (
        open(opened(model_dir / "io-stdout"), "rb"),
        open(opened(model_dir / "io-stderr"), "rb"),
    ):
        assert receive(old_worker, 4) == number(200)
        message = receive(old_worker, struct.unpack("!i", receive(old_worker, 4))[0])
        assert message.startswith(b"loaded model m. [PID]:")
        assert receive(old_worker, 4) == number(-1)
        parameter = sized(b"body") + sized(b"text/plain") + sized(b"x")
        old_worker.sendall(b"I" + sized(b"id") + number(-1) + parameter + number(-1) + number(-1))
        answer = (
            (number(200) + sized(b"Prediction success") + sized(b"id") + sized(b""))
            + number(200)
            + sized(b"")
            + number(0)
            + sized(b"{'body': 'x'}")
            + number(-1)
        )
        assert receive(old_worker, len(answer)) == answer
