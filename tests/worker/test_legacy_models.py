"""Archives of MMS's first format, loaded by real workers without MXNet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mms.wire import Loaded

from .front import Front, Worker

ECHO = """
from mms.model_service.mxnet_model_service import SingleNodeService

class Zebra(SingleNodeService):
    pass

class EchoService(SingleNodeService):
    def _preprocess(self, data):
        return ["preprocessed", *data]
    def _inference(self, data):
        return ["inferred", *data]
    def _postprocess(self, data):
        return [repr(data)]
"""
SIGNATURE = {
    "inputs": [{"data_name": "named", "data_shape": [1]}],
    "input_type": "application/json",
    "outputs": [{"data_name": "out"}],
    "output_type": "application/json",
}
VISION = """
from mms.model_service.mxnet_vision_service import MXNetVisionService
class Own(MXNetVisionService):
    pass
"""
NO_MXNET = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mxnet", "numpy"):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Refuse())
"""


def load(
    front: Front,
    folder: Path,
    source: str = ECHO,
    signature: Any = SIGNATURE,
    handler: str = "echo_service.py",
) -> tuple[Worker, Loaded]:
    model = {"Service": "echo_service.py", "Signature": "signature.json", "Model-Name": "echo"}
    model |= {"Symbol": "echo-symbol.json", "Parameters": "echo-0000.params"}
    (folder / "MANIFEST.json").write_text(json.dumps({"Model": model}))
    (folder / "echo_service.py").write_text(NO_MXNET + source)
    if signature is not None:
        (folder / "signature.json").write_text(json.dumps(signature))
    worker = front.start_forked()
    loaded = worker.load(
        model_name="echo",
        model_version=None,
        model_dir=str(folder),
        handler=handler,
        interface="legacy",
    )
    return worker, loaded


@pytest.mark.parametrize("handler", ["echo_service.py", "echo_service"])
def test_a_legacy_service_loads_and_answers(front: Front, tmp_path: Path, handler: str) -> None:
    worker, loaded = load(front, tmp_path, handler=handler)
    assert (loaded.code, loaded.interface) == (200, "legacy"), loaded
    assert worker.predict(b"17").body == b"['inferred', 'preprocessed', 17]"


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        (b"application/x-www-form-urlencoded", b"named=[1, 2]&data=3", "[1, 2]"),
        (b"application/x-www-form-urlencoded", b"data=[3]", "[3]"),
        (b"application/octet-stream", b"{'a': (1, 2)}", "{'a': (1, 2)}"),
        (b"text/plain", b"words", "'words'"),
        (b"application/json", b'{"a": 1}', "{'a': 1}"),
    ],
)
def test_the_input_is_chosen_by_the_signature(
    front: Front, tmp_path: Path, content_type: bytes, body: bytes, value: str
) -> None:
    worker, _ = load(front, tmp_path)
    answer = worker.predict(body, content_type)
    assert answer.body.decode() == f"['inferred', 'preprocessed', {value}]"


def test_a_result_that_is_no_list_becomes_one(front: Front, tmp_path: Path) -> None:
    source = ECHO.replace("return [repr(data)]", "return 'OK'")
    worker, _ = load(front, tmp_path, source)
    assert worker.predict(b"1").body == b"OK"


def test_bytes_are_left_alone_where_the_signature_wants_no_json(
    front: Front, tmp_path: Path
) -> None:
    worker, _ = load(front, tmp_path, signature=SIGNATURE | {"input_type": "image/jpeg"})
    assert worker.predict(b"x").body == b"['inferred', 'preprocessed', bytearray(b'x')]"


@pytest.mark.parametrize(
    ("source", "signature", "error"),
    [
        (ECHO, None, "ValueError: signature file signature.json is not in the archive"),
        ("x = 1\n", SIGNATURE, "ValueError: no class in echo_service.py derives from Single"),
        (
            VISION,
            SIGNATURE,
            "mms.utils.mxnet.MXNetMissing: this model uses mxnet, which is not installed",
        ),
    ],
)
def test_a_legacy_model_that_cannot_load_says_why(
    front: Front, tmp_path: Path, source: str, signature: Any, error: str
) -> None:
    _, loaded = load(front, tmp_path, source, signature)
    assert loaded.code == 500
    assert loaded.error.startswith(error)


def test_a_service_file_that_is_missing_is_named(front: Front, tmp_path: Path) -> None:
    _, loaded = load(front, tmp_path, handler="absent")
    assert loaded.error == "ImportError: service file absent.py is not in the archive"
