"""Models of torch behind TorchServe's own handlers, and behind one that derives from `BaseHandler`."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server

MISSING = [
    name for name in ("torch", "torchvision", "PIL") if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.skipif(
        bool(MISSING), reason=f"{' and '.join(MISSING)} are what such models need; not installed"
    ),
    # TorchScript is what archives of TorchServe's users hold.
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]

NETWORK = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, stride=4)
        self.block = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 6)

    def forward(self, images):
        features = torch.relu(self.stem(images))
        features = torch.relu(features + self.block(features))
        return self.head(features.mean(dim=(2, 3)))
"""
HANDLER = """
import io
import torch
from ts.torch_handler.base_handler import BaseHandler

class Service(BaseHandler):
    def preprocess(self, data):
        self.context.metrics.add_counter("Images", len(data))
        rows = [torch.full((3, 32, 32), float(row["body"]["level"])) for row in data]
        return torch.stack(rows).to(self.device)

    def postprocess(self, data):
        if self.context.get_request_header(0, "X-Tensor"):
            return list(data)
        return [{"scores": row.tolist(), "mode": self.model.training} for row in data]
"""
GROUPED = """
import torch
import torch.distributed as dist

class Service:
    def initialize(self, context):
        dist.init_process_group("gloo")

    def handle(self, data, context):
        total = torch.tensor([dist.get_rank() + 1.0])
        dist.all_reduce(total)
        return [total.item()] * len(data)
"""
LABELS = {str(place): f"class {place}" for place in range(6)}


def archive(path: Path, handler: str, files: dict[str, bytes], **described: str) -> None:
    model = {"modelName": path.stem, "modelVersion": "1.0", "handler": handler, **described}
    manifest = {"runtime": "python", "model": model, "archiverVersion": "0.12.0"}
    with zipfile.ZipFile(path, "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
        written.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    # A file, as TorchScript reads the source of a class there.
    file = tmp_path_factory.mktemp("network") / "network.py"
    file.write_text(NETWORK)
    spec = importlib.util.spec_from_file_location("network", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Network().eval()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network: Any) -> Iterator[Server]:
    torch = importlib.import_module("torch")
    scripted, weights = io.BytesIO(), io.BytesIO()
    torch.jit.save(torch.jit.script(network), scripted)
    torch.save(network.state_dict(), weights)
    path = os.environ.get("PYTHONPATH", "")
    server = Server(
        tmp_path_factory.mktemp("torch"),
        environment={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    archive(
        *(server.store / "named.mar", "image_classifier"),
        {"model.pt": scripted.getvalue(), "index_to_name.json": json.dumps(LABELS).encode()},
        serializedFile="model.pt",
    )
    archive(
        *(server.store / "own.mar", "service.py"),
        {
            "service.py": HANDLER.encode(),
            "network.py": NETWORK.encode(),
            "weights.pt": weights.getvalue(),
        },
        serializedFile="weights.pt",
        modelFile="network.py",
    )
    server.start()
    for name in ("named", "own"):
        reply = server.register(f"{name}.mar", initial_workers=1, synchronous="true")
        assert reply.status == 200, reply.text
    yield server
    server.stop()


def picture() -> tuple[bytes, Any]:
    """A file of an image, and its pixels."""
    image_module = importlib.import_module("PIL.Image")
    image = image_module.radial_gradient("L").convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue(), image


def test_the_image_classifier_answers_with_the_labels_of_the_likeliest_classes(
    server: Server, network: Any
) -> None:
    torch = importlib.import_module("torch")
    transforms = importlib.import_module("torchvision.transforms")
    content, image = picture()
    prepared = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )(image)
    with torch.inference_mode():
        shares = torch.softmax(network(prepared.unsqueeze(0)), dim=1)[0]
    highest = shares.topk(5)
    reply = server.inference.post("/predictions/named", content)
    assert reply.status == 200, reply.text
    expected = zip(highest.indices.tolist(), highest.values.tolist(), strict=True)
    assert reply.json() == {
        f"class {place}": pytest.approx(share, abs=1e-5) for place, share in expected
    }


def test_a_form_and_base64_are_images_too(server: Server) -> None:
    content, _ = picture()
    plain = server.inference.post("/predictions/named", content).json()
    form = (
        b'--e\r\nContent-Disposition: form-data; name="data"; filename="x.png"\r\n\r\n'
        + content
        + b"\r\n--e--\r\n"
    )
    reply = server.inference.post(
        "/predictions/named", form, content_type="multipart/form-data; boundary=e"
    )
    assert reply.json() == plain


def test_a_handler_of_the_base_runs_a_network_of_the_archive(server: Server, network: Any) -> None:
    torch = importlib.import_module("torch")
    with torch.inference_mode():
        expected = network(torch.full((1, 3, 32, 32), 0.5))[0].tolist()
    call = ("/predictions/own", b'{"level": 0.5}')
    reply = server.inference.post(*call, content_type="application/json")
    assert reply.json() == {"scores": pytest.approx(expected, abs=1e-5), "mode": False}
    kept = server.inference.post(
        *call, headers={"X-Tensor": "yes"}, content_type="application/json"
    )
    assert torch.load(io.BytesIO(kept.body)).tolist() == pytest.approx(expected, abs=1e-5)


def test_torchrun_starts_the_processes_of_a_group(server: Server) -> None:
    archive(
        *(server.store / "grouped.mar", "service.py"),
        {
            "service.py": GROUPED.encode(),
            "config.yaml": b"parallelType: tp\ntorchrun: {nproc-per-node: 2}\n",
        },
        configFile="config.yaml",
    )
    reply = server.register("grouped.mar", initial_workers=1, synchronous="true")
    assert reply.status == 200, reply.text
    assert server.inference.post("/predictions/grouped", b"x").text == "3.0"


def test_what_is_no_image_fails_alone_and_the_next_request_is_answered(server: Server) -> None:
    assert server.inference.post("/predictions/named", b"no image").status == 503
    content, _ = picture()
    assert server.inference.post("/predictions/named", content).status == 200
