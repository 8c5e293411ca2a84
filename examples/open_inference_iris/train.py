"""Trains a classifier of irises and writes it as an ONNX file, with the files that its archive needs.

Run: python train.py --model-dir build/iris. It needs scikit-learn; the file itself is written by hand, so that no
package for ONNX is needed to make it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

FLOAT, INT64 = 1, 7
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, required=True, help="folder to write to")
    folder = parser.parse_args().model_dir
    folder.mkdir(parents=True, exist_ok=True)
    features, species = load_iris(return_X_y=True)
    found = LogisticRegression(max_iter=1000).fit(features, species)
    (folder / "iris.onnx").write_bytes(onnx_of(found.coef_, found.intercept_))
    for name in ("iris_model.py", "model-config.yaml"):
        shutil.copy(HERE / name, folder / name)
    print(f"{folder}/iris.onnx is right for {found.score(features, species):.0%} of the irises")


def onnx_of(weights: np.ndarray, bias: np.ndarray) -> bytes:
    """Return a model: x -> MatMul -> Add -> Softmax -> probabilities, and ArgMax of these -> species."""
    count, size = weights.shape
    nodes = (
        node("MatMul", ["x", "weights"], "product"),
        node("Add", ["product", "bias"], "scores"),
        node("Softmax", ["scores"], "probabilities"),
        node("ArgMax", ["probabilities"], "species", axis=1, keepdims=0),
    )
    graph = [field(1, *each) for each in nodes]
    graph += [field(2, b"irises"), initializer("weights", weights.T), initializer("bias", bias)]
    graph.append(field(11, *value("x", FLOAT, None, size)))
    graph.append(field(12, *value("probabilities", FLOAT, None, count)))
    graph.append(field(12, *value("species", INT64, None)))
    return b"".join((number(1, 8), field(7, *graph), field(8, number(2, 17))))


# The wire format of protobuf, as far as https://github.com/onnx/onnx/blob/main/onnx/onnx.proto needs it here.


def node(operator: str, inputs: Iterable[str], output: str, **attributes: int) -> list[bytes]:
    parts = [field(1, name.encode()) for name in inputs]
    parts += [field(2, output.encode()), field(4, operator.encode())]
    for name, whole in attributes.items():
        parts.append(field(5, field(1, name.encode()), number(3, whole), number(20, 2)))
    return parts


def initializer(name: str, values: np.ndarray) -> bytes:
    sizes = [number(1, size) for size in values.shape]
    raw = values.astype("<f4").tobytes()
    return field(5, *sizes, number(2, FLOAT), field(8, name.encode()), field(9, raw))


def value(name: str, element: int, *shape: int | None) -> list[bytes]:
    sizes = [field(1, field(2, b"n") if size is None else number(1, size)) for size in shape]
    tensor = field(1, number(1, element), field(2, *sizes))
    return [field(1, name.encode()), field(2, tensor)]


def varint(whole: int) -> bytes:
    parts = bytearray()
    while whole > 0x7F:
        parts.append(whole & 0x7F | 0x80)
        whole >>= 7
    return bytes([*parts, whole])


def number(place: int, whole: int) -> bytes:
    return varint(place << 3) + varint(whole)


def field(place: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return varint(place << 3 | 2) + varint(len(content)) + content


if __name__ == "__main__":
    main()
