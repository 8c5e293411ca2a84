"""The real models, the same in every server: a batch of bodies in, as many texts of JSON out.

`OMP_NUM_THREADS` is the number of threads for ONNX Runtime too, which does not read it itself.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

Model = Callable[[list[bytes]], list[str]]

IMAGE_SIZE = 64


def load_real_model(kind: str) -> Model:
    """`kind`: forest, vision, encoder or photo; `BENCH_MODELS` is the folder with their files."""
    folder = Path(os.environ["BENCH_MODELS"])
    if kind == "forest":
        return _load_forest(folder)
    if kind == "encoder":
        return _load_encoder(folder)
    return _load_vision(folder, is_photo=kind == "photo")


def _session(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    options.inter_op_num_threads = 1
    # Threads that wait for work give the core to whoever has some.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _load_forest(folder: Path) -> Model:
    import joblib
    import numpy as np

    forest = joblib.load(folder / "forest.joblib")

    def classify(bodies: list[bytes]) -> list[str]:
        rows = np.array([json.loads(body) for body in bodies])
        return [_best(scores) for scores in forest.predict_proba(rows)]

    return classify


def _load_vision(folder: Path, is_photo: bool) -> Model:
    import numpy as np

    session = _session(folder / "vision.onnx")

    def read(body: bytes):
        if is_photo:
            return _read_photo(body)
        return np.frombuffer(body, np.uint8).reshape(3, IMAGE_SIZE, IMAGE_SIZE)

    def classify(bodies: list[bytes]) -> list[str]:
        images = np.stack([read(body) for body in bodies]).astype(np.float32)
        images = images / 127.5 - 1
        return [_best(scores) for scores in session.run(None, {"image": images})[0]]

    return classify


def _read_photo(body: bytes):
    import numpy as np
    from PIL import Image

    photo = Image.open(io.BytesIO(body)).convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE))
    return np.asarray(photo).transpose(2, 0, 1)


def _load_encoder(folder: Path) -> Model:
    import numpy as np

    session = _session(folder / "encoder.onnx")

    def encode(bodies: list[bytes]) -> list[str]:
        texts = [json.loads(body) for body in bodies]
        tokens = np.full((len(texts), max(map(len, texts))), -1, np.int64)
        for row, text in zip(tokens, texts, strict=True):
            row[: len(text)] = text
        vectors = session.run(None, {"tokens": tokens})[0]
        return [json.dumps([round(float(x), 4) for x in vector]) for vector in vectors]

    return encode


def _best(scores) -> str:
    best = int(scores.argmax())
    return json.dumps({"class": best, "score": round(float(scores[best]), 4)})
