"""Lays out the folder of the OCR model: the handler's files and the two networks.

    python examples/ocr/lay_out_model.py --model-dir build/ocr

The networks are PP-OCRv4 by PaddlePaddle in ONNX form, as the package rapidocr-onnxruntime (Apache-2.0)
carries them. Only its files are used: the package is downloaded with pip, not installed, since its own
code needs OpenCV and says that it does not run on Python 3.13 and later.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "rapidocr-onnxruntime==1.4.4"
NETWORKS = {
    "detection.onnx": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "recognition.onnx": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
}
HANDLER_FILES = (
    "ocr_handler.py",
    "image_input.py",
    "text_detection.py",
    "text_recognition.py",
    "requirements.txt",
)


def lay_out(model_dir: Path) -> None:
    model_dir.mkdir(parents=True, exist_ok=True)
    for name in HANDLER_FILES:
        shutil.copy(Path(__file__).with_name(name), model_dir / name)
    if all(_is_network(model_dir / name, sha256) for name, (_, sha256) in NETWORKS.items()):
        print(f"the networks are in {model_dir} already")
        return
    print(f"downloading {PACKAGE}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            for name, (member, _) in NETWORKS.items():
                (model_dir / name).write_bytes(package.read(member))
    for name, (member, sha256) in NETWORKS.items():
        if not _is_network(model_dir / name, sha256):
            sys.exit(f"{member} of {PACKAGE} is not the file that this example was written for")
    print(f"the networks are in {model_dir}")


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # The wheel is the same for every Python; naming one that it accepts gets it for all of them.
    command += ["--only-binary=:all:", "--python-version=3.12", "--dest", str(folder), PACKAGE]
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        sys.exit(f"pip could not download {PACKAGE}:\n{finished.stderr}")


def _is_network(file: Path, sha256: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256


def main() -> None:
    parser = argparse.ArgumentParser(description="Lay out the folder of the OCR model.")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder to be packed")
    lay_out(parser.parse_args().model_dir)


if __name__ == "__main__":
    main()
