"""Makes the real models and their requests: `python build_models.py FOLDER`. The same seeds give the same files.

A forest of scikit-learn, trained on rows of 30 numbers; a network of residual blocks for images and an encoder of
texts, both ONNX with random weights, as what they cost does not depend on what they have learned.
"""

from __future__ import annotations

import io
import json
import os
import sys
from base64 import b64encode
from pathlib import Path

import joblib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from real_models import load_real_model
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

SEED = 7
OPSET, IR_VERSION = 17, 9
BODIES = 24
FEATURES, CLASSES = 30, 5
IMAGE_SIZE = 64
#: Channels of the stages of the image network; each has two residual blocks.
STAGES = (32, 64, 128)
VOCABULARY, WIDTH, LAYERS, HEADS = 4000, 128, 4, 4
LONGEST_TEXT = 128
PHOTO_SIZE = (320, 240)


class Graph:
    """Collects nodes and weights; each method returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def random(self, *shape: int) -> str:
        scale = 1 / np.sqrt(np.prod(shape[1:]) if len(shape) == 4 else shape[0])
        return self.constant((self._random.standard_normal(shape) * scale).astype(np.float32))

    def linear(self, x: str, rows: int, columns: int) -> str:
        product = self.node("MatMul", x, self.random(rows, columns))
        return self.node("Add", product, self.constant(np.zeros(columns, np.float32)))

    def normalized(self, x: str) -> str:
        scale, bias = (self.constant(np.full(WIDTH, value, np.float32)) for value in (1, 0))
        return self.node("LayerNormalization", x, scale, bias, axis=-1)

    def save(self, path: Path, inputs: list[object], output: object) -> None:
        # The last node's output has the name that is asked for.
        self.nodes[-1].output[0] = output.name  # type: ignore[attr-defined]
        graph = helper.make_graph(self.nodes, path.stem, inputs, [output], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        onnx.save(model, path)


def save_vision(path: Path) -> None:
    """Make the network: an image of 3 x 64 x 64 floats in, the scores of ten classes out."""
    graph = Graph(SEED)
    x = graph.node("Conv", "image", graph.random(STAGES[0], 3, 3, 3), pads=[1] * 4, strides=[2, 2])
    channels = STAGES[0]
    for stage in STAGES:
        for _ in range(2):
            stride = 1 if stage == channels else 2
            kept = x
            if stride == 2:
                kept = graph.node("Conv", x, graph.random(stage, channels, 1, 1), strides=[2, 2])
            x = graph.node(
                "Conv", x, graph.random(stage, channels, 3, 3), pads=[1] * 4, strides=[stride] * 2
            )
            x = graph.node("Relu", x)
            x = graph.node("Conv", x, graph.random(stage, stage, 3, 3), pads=[1] * 4)
            x = graph.node("Relu", graph.node("Add", x, kept))
            channels = stage
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    graph.linear(x, channels, 10)
    shape = ["batch", 3, IMAGE_SIZE, IMAGE_SIZE]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])
    graph.save(path, [image], scores)


def save_encoder(path: Path) -> None:
    """Make the encoder: token ids, padded to one length with -1, in, a vector for each text out."""
    graph = Graph(SEED + 1)
    zero = graph.constant(np.array(0, np.int64))
    is_token = graph.node(
        "Cast", graph.node("GreaterOrEqual", "tokens", zero), to=TensorProto.FLOAT
    )
    x = graph.node("Gather", graph.random(VOCABULARY, WIDTH), graph.node("Max", "tokens", zero))
    # No score is ever given to the padding.
    large = graph.constant(np.array(1e9, np.float32))
    one = graph.constant(np.array(1, np.float32))
    axes = graph.constant(np.array([1, 2], np.int64))
    penalty = graph.node("Mul", graph.node("Sub", is_token, one), large)
    mask = graph.node("Unsqueeze", penalty, axes)
    heads = graph.constant(np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
    whole = graph.constant(np.array([0, 0, WIDTH], np.int64))
    scale = graph.constant(np.array((WIDTH // HEADS) ** -0.5, np.float32))
    for _ in range(LAYERS):
        y = graph.normalized(x)
        query, key, value = (
            graph.node("Reshape", graph.linear(y, WIDTH, WIDTH), heads) for _ in range(3)
        )
        query, value = (graph.node("Transpose", each, perm=[0, 2, 1, 3]) for each in (query, value))
        key = graph.node("Transpose", key, perm=[0, 2, 3, 1])
        scores = graph.node("Mul", graph.node("MatMul", query, key), scale)
        weights = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)
        mixed = graph.node("Transpose", graph.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        x = graph.node("Add", x, graph.linear(graph.node("Reshape", mixed, whole), WIDTH, WIDTH))
        y = graph.node("Relu", graph.linear(graph.normalized(x), WIDTH, 4 * WIDTH))
        x = graph.node("Add", x, graph.linear(y, 4 * WIDTH, WIDTH))
    # The mean of a text's tokens.
    shown = graph.node("Unsqueeze", is_token, graph.constant(np.array([2], np.int64)))
    axis = graph.constant(np.array([1], np.int64))
    total = graph.node("ReduceSum", graph.node("Mul", x, shown), axis, keepdims=0)
    graph.node("Div", total, graph.node("ReduceSum", shown, axis, keepdims=0))
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", WIDTH])
    graph.save(path, [tokens], vectors)


def save_forest(path: Path) -> np.ndarray:
    """Train the forest, and return rows that it has not seen."""
    rows, classes = make_classification(
        n_samples=4000, n_features=FEATURES, n_informative=15, n_classes=CLASSES, random_state=SEED
    )
    forest = RandomForestClassifier(n_estimators=100, max_depth=12, random_state=SEED)
    forest.fit(rows[:3000], classes[:3000])
    joblib.dump(forest, path)
    return rows[3000:]


def photos() -> list[bytes]:
    """Make pictures that compress as photographs do: soft shapes with some noise."""
    random = np.random.default_rng(SEED + 2)
    made = []
    for _ in range(BODIES):
        small = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        soft = np.asarray(small.resize(PHOTO_SIZE, Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(soft + random.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=85)
        made.append(file.getvalue())
    return made


def main() -> None:
    folder = Path(sys.argv[1])
    random = np.random.default_rng(SEED + 3)
    rows = save_forest(folder / "forest.joblib")
    save_vision(folder / "vision.onnx")
    save_encoder(folder / "encoder.onnx")
    # Most texts are short, some are long.
    lengths = np.clip(random.lognormal(3.2, 0.7, BODIES), 4, LONGEST_TEXT).astype(int)
    bodies = {
        "forest": [json.dumps([round(float(x), 4) for x in row]).encode() for row in rows[:BODIES]],
        "vision": [
            random.integers(0, 256, 3 * IMAGE_SIZE**2, np.uint8).tobytes() for _ in range(BODIES)
        ],
        "encoder": [
            json.dumps(random.integers(0, VOCABULARY, length).tolist()).encode()
            for length in lengths
        ],
        "photo": photos(),
    }
    encoded = {kind: [b64encode(body).decode() for body in each] for kind, each in bodies.items()}
    os.environ["BENCH_MODELS"] = str(folder)
    # The beginning: the last digits are not the same on every machine.
    answers = {kind: load_real_model(kind)(each[:1])[0][:11] for kind, each in bodies.items()}
    document = {"bodies": encoded, "answers": {**answers, "encoder": answers["encoder"][:6]}}
    (folder / "requests.json").write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main()
