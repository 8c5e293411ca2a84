"""Models of MXNet, in a Python of their own that has it.

MXNET_PYTHON names one: `pip install mxnet==1.9.1 numpy==1.23.5` on Python 3.11. Without it nothing here runs.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from support.server import Server, manifest

MXNET = os.environ.get("MXNET_PYTHON", "")
pytestmark = pytest.mark.skipif(not MXNET, reason="MXNET_PYTHON names no Python with mxnet")

#: Weights that do not depend on the picture: its answer is known.
MAKE = """
import mxnet as mx
net = mx.sym.Flatten(mx.sym.Variable("data"))
net = mx.sym.softmax(mx.sym.FullyConnected(net, num_hidden=3, name="fc"), name="softmax")
module = mx.mod.Module(net, label_names=None)
module.bind(for_training=False, data_shapes=[("data", (1, 3, 8, 8))])
module.init_params(mx.init.Zero())
arguments, auxiliaries = module.get_params()
arguments["fc_bias"][:] = mx.nd.array([0, 5, 1])
module.set_params(arguments, auxiliaries)
module.save_checkpoint("small", 0)
"""
SIGNATURE = {
    "inputs": [{"data_name": "data", "data_shape": [0, 3, 8, 8]}],
    "input_type": "image/jpeg",
    "outputs": [{"data_name": "softmax", "data_shape": [0, 3]}],
}
LEGACY = {
    "Engine": {"MXNet": 1.9},
    "Model-Archive-Version": 0.1,
    "Model-Server": "0.4",
    "Model": {
        "Service": "own_service.py",
        "Symbol": "small-symbol.json",
        "Parameters": "small-0000.params",
        "Signature": "signature.json",
        "Model-Name": "small",
        "Model-Format": "MXNet-Symbolic",
    },
}
SERVICE = """
from mms.model_service.mxnet_vision_service import MXNetVisionService

class Own(MXNetVisionService):
    pass
"""
#: As MMS's template loads and asks a model.
HANDLER = """
import json, os
import mxnet as mx
from mxnet.io import DataBatch

class Handler:
    initialized = False

    def initialize(self, context):
        folder = context.system_properties["model_dir"]
        symbol, arguments, auxiliaries = mx.model.load_checkpoint(os.path.join(folder, "small"), 0)
        self.module = mx.mod.Module(symbol=symbol, data_names=["data"], label_names=None)
        self.module.bind(for_training=False, data_shapes=[("data", (1, 3, 8, 8))])
        self.module.set_params(arguments, auxiliaries)
        self.initialized = True

    def handle(self, data, context):
        context._request_processor[0].add_response_property("X-MXNet", mx.__version__)
        picture = mx.image.imresize(mx.image.imdecode(data[0]["body"]), 8, 8)
        batch = mx.nd.expand_dims(mx.nd.transpose(picture, (2, 0, 1)), axis=0)
        self.module.forward(DataBatch([batch]))
        (output,) = self.module.get_outputs()
        return [json.dumps(int(output.argmax(axis=1).asscalar()))]

_handler = Handler()

def handle(data, context):
    if not _handler.initialized:
        _handler.initialize(context)
    return None if data is None else _handler.handle(data, context)
"""


def picture() -> bytes:
    """A PNG of 9 x 9 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = b"".join(b"\0" + bytes(range(27)) for _ in range(9))
    head = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mxnet")
    subprocess.run([MXNET, "-c", MAKE], cwd=folder, check=True, capture_output=True)
    (folder / "signature.json").write_text(json.dumps(SIGNATURE))
    (folder / "synset.txt").write_text("cat\ndog\nbird\n")
    return folder


def filled(server: Server, name: str, weights: Path) -> Path:
    folder = server.store / name
    for file in weights.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_handler_runs_in_the_python_that_has_mxnet(main_server: Server, weights: Path) -> None:
    url = main_server.write_model("mxnet-handler", HANDLER, manifest())
    filled(main_server, url, weights)
    with main_server.registered(url, runtime=MXNET) as name:
        reply = main_server.inference.post(f"/predictions/{name}", picture())
        assert (reply.status, reply.text) == (200, "1")
        assert (reply.header("X-MXNet") or "").startswith("1.")


def test_a_service_of_mms_first_format_runs_in_it(main_server: Server, weights: Path) -> None:
    url = main_server.write_model("mxnet-service", "")
    folder = filled(main_server, url, weights)
    (folder / "own_service.py").write_text(SERVICE)
    (folder / "MANIFEST.json").write_text(json.dumps(LEGACY))
    with main_server.registered(url, runtime=MXNET) as name:
        reply = main_server.inference.post(f"/predictions/{name}", picture())
        assert [found["class"] for found in reply.json()] == ["dog", "bird", "cat"]
