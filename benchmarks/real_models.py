"""The real models: built once into a folder that all servers read, with the requests for them.

`models/real_models.py` is the code that runs them, the same in every server.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import subprocess
from typing import Any

from benchmarks.deployment import Answer
from benchmarks.places import BENCH, MODELS
from benchmarks.venvs import InstallationFailed, Venv

#: What the models' code imports, besides what every server's environment has.
REQUIREMENTS = ("onnxruntime==1.20.1", "pillow==11.0.0")
#: What building them takes.
_BUILD_REQUIREMENTS = (
    *("numpy==1.26.4", "scikit-learn==1.5.2", "joblib==1.4.2", "onnx==1.17.0"),
    *REQUIREMENTS,
)
#: Works whose bodies are octets and whose answers are texts of JSON.
KINDS = ("forest", "vision", "encoder", "photo")
FOLDER = BENCH / "models"
_STAMP = "built-from.txt"
_SOURCES = ("build_models.py", "real_models.py")


def build() -> None:
    """Build them, unless that has been done from the same sources. Raises InstallationFailed."""
    text = "".join((MODELS / name).read_text(encoding="utf-8") for name in _SOURCES)
    fingerprint = hashlib.sha256((text + repr(_BUILD_REQUIREMENTS)).encode()).hexdigest()
    stamp = FOLDER / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint:
        return
    venv = Venv("real-models")
    venv.ensure(_BUILD_REQUIREMENTS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [str(venv.python), str(MODELS / "build_models.py"), str(FOLDER)]
    finished = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if finished.returncode != 0:
        raise InstallationFailed(finished.stderr.strip()[-1000:])
    stamp.write_text(fingerprint, encoding="utf-8")


def bodies(kind: str) -> list[bytes]:
    """Return the bodies of the requests for a model, which are sent in turn."""
    return [base64.b64decode(body) for body in _document()["bodies"][kind]]


def is_right(kind: str, answer: Answer) -> bool:
    """Return whether an answer to the first body is the model's, however the protocol wraps its text."""
    mark: str = _document()["answers"][kind]
    return mark.encode() in answer.body.replace(b"\\", b"")


@functools.cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "requests.json").read_text(encoding="utf-8"))
    return found
