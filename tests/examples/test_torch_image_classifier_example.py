from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from pathlib import Path

import pytest
from example_server import ROOT, run, serving

FOLDER = ROOT / "examples" / "torch_image_classifier"
MISSING = [
    name
    for name in ("torch", "torchvision", "PIL", "sklearn")
    if importlib.util.find_spec(name) is None
]


@pytest.mark.skipif(
    bool(MISSING), reason=f"the example needs {' and '.join(MISSING)}; not installed"
)
@pytest.mark.timeout(400)
def test_digits_are_classified_by_both_archives(is_full: bool, tmp_path: Path) -> None:
    if not is_full:
        pytest.skip("trains with torch for a minute of CPU time, with --full alone")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    model, images, store = (tmp_path / name for name in ("model", "images", "store"))
    run(
        *("python", str(FOLDER / "train.py"), "--model-dir", str(model)),
        *("--images-dir", str(images)),
    )
    store.mkdir()
    write(store / "named.mar", "image_classifier", "model.pt", model, ["index_to_name.json"])
    write(store / "own.mar", "digit_handler.py", "weights.pt", model, [], "digit_network.py")
    with serving(store, "--models", "named=named.mar", "own=own.mar") as server:
        seven = (images / "seven.png").read_bytes()
        named = json.loads(server.predict("named", seven, "image/png").body)
        assert max(named, key=named.__getitem__) == "seven"
        assert json.loads(server.predict("own", seven, "image/png").body)["digit"] == 7
        assert server.predict("own", b"no image", "image/png").status == 400


def write(
    path: Path, handler: str, serialized: str, folder: Path, more: list[str], model_file: str = ""
) -> None:
    model = {"modelName": path.stem, "handler": handler, "serializedFile": serialized}
    with zipfile.ZipFile(path, "w") as archive:
        for name in (serialized, *more):
            archive.write(folder / name, name)
        for name in (handler, model_file):
            if name.endswith(".py"):
                archive.write(FOLDER / name, name)
        if model_file:
            model["modelFile"] = model_file
        manifest = {"model": {**model, "modelVersion": "1.0"}, "archiverVersion": "0.12.0"}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
