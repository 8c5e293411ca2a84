"""Names bound to MXNet: they import without it, and say what is missing when they are used."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mms.model_service.model_service import ModelService, SingleNodeService
from mms.model_service.mxnet_model_service import (
    GluonImperativeBaseService,
    MXNetBaseService,
    check_input_shape,
)
from mms.utils.mxnet import MXNetMissing, image, ndarray, nlp
from mms.utils.timeit_decorator import timeit

MANIFEST = {
    "Model": {
        "Signature": "signature.json",
        "Symbol": "own-symbol.json",
        "Parameters": "own-0012.params",
    }
}


@pytest.fixture
def archive(tmp_path: Path) -> str:
    signature = {"inputs": [{"data_name": "data", "data_shape": [0, 3, 0]}], "input_type": ""}
    (tmp_path / "signature.json").write_text(json.dumps(signature))
    (tmp_path / "synset.txt").write_text("cat\ndog\n")
    return str(tmp_path)


@pytest.fixture
def no_mxnet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mxnet", "numpy", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_mxnet")
@pytest.mark.parametrize(
    "name",
    [
        "mms.model_service.mxnet_model_service",
        "mms.model_service.mxnet_vision_service",
        "mms.model_service.gluon_vision_service",
        "mms.utils.mxnet.image",
        "mms.utils.mxnet.ndarray",
        "mms.utils.mxnet.nlp",
    ],
)
def test_modules_import_without_mxnet(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in list(sys.modules):
        if loaded.startswith(("mms.model_service", "mms.utils")):
            monkeypatch.delitem(sys.modules, loaded)
    importlib.import_module(name)


@pytest.mark.usefixtures("no_mxnet")
@pytest.mark.parametrize(
    "use",
    [
        lambda folder: MXNetBaseService("own", folder, MANIFEST),
        lambda folder: GluonImperativeBaseService("own", folder, MANIFEST),
        lambda folder: check_input_shape([1], {"inputs": [{"data_name": "d", "data_shape": [1]}]}),
        lambda folder: image.transform_shape(None),
        lambda folder: image.read(b""),
        lambda folder: image.resize(None, 1, 1),
        lambda folder: image.fixed_crop(None, 0, 0, 1, 1),
        lambda folder: ndarray.top_probability(types.SimpleNamespace(shape=(1, 2)), []),
        lambda folder: nlp.pad_sentence([1], [2]),
    ],
)
def test_using_them_says_what_is_missing(use: Any, archive: str) -> None:
    with pytest.raises(MXNetMissing, match="is not installed in the worker's Python"):
        use(archive)


class Array:
    """As much of an MXNet array as the services touch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.was_waited_for = False

    def as_in_context(self, context: Any) -> Array:
        return self

    def wait_to_read(self) -> None:
        self.was_waited_for = True


class Module:
    """Stands for MXNet's `mod.Module`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def bind(self, *, for_training: bool, data_shapes: Any) -> None:
        self.shapes = data_shapes

    def set_params(self, *parameters: Any, **options: Any) -> None:
        self.parameters = parameters

    def forward(self, batch: list[Array]) -> None:
        self.batch = batch

    def get_outputs(self) -> list[Array]:
        return self.batch


@pytest.fixture
def mxnet(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A stand-in: MXNet needs a Python of its own, where the conformance tests have it."""
    stand_in = types.SimpleNamespace(
        __version__="1.9",
        cpu=lambda: "cpu",
        gpu=lambda number: f"gpu{number}",
        nd=types.SimpleNamespace(NDArray=Array, array=lambda value: Array((1, value, 5))),
        io=types.SimpleNamespace(DataBatch=list),
        mod=types.SimpleNamespace(Module=Module),
        model=types.SimpleNamespace(load_checkpoint=lambda prefix, epoch: (prefix, epoch, "aux")),
    )
    monkeypatch.setitem(sys.modules, "mxnet", stand_in)
    return stand_in


def test_an_mxnet_service_loads_and_runs_its_model(
    mxnet: types.SimpleNamespace, archive: str
) -> None:
    service = MXNetBaseService("own", archive, MANIFEST, 1)
    assert service.ctx == "gpu1"
    assert service.labels == ["cat", "dog"]
    assert service.ping() == "1.9"
    assert service.mx_model.options["symbol"] == f"{archive}/own"
    assert service.mx_model.parameters == (12, "aux")
    assert service.mx_model.shapes == [("data", (1, 3, 1))]
    assert service.signature["inputs"][0]["data_shape"] == [1, 3, 1]
    (output,) = service._inference([Array((7, 3, 1))])
    assert output.was_waited_for


def test_the_shape_of_inputs_is_checked(mxnet: types.SimpleNamespace) -> None:
    signature = {"inputs": [{"data_name": "d", "data_shape": [1, 3, 0]}]}
    check_input_shape([Array((9, 3, 8))], signature)
    wrong: list[Any] = [(), [], [1], [Array((1, 3))], [Array((1, 4, 8))]]
    for inputs in wrong:
        with pytest.raises(AssertionError):
            check_input_shape(inputs, signature)


def test_packages_hold_their_modules() -> None:
    code = (
        "import mms.model_service, mms.utils\n"
        "mms.model_service.model_service.ModelService\n"
        "mms.model_service.mxnet_vision_service.MXNetVisionService\n"
        "mms.utils.timeit_decorator.timeit\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_sentences_become_numbers() -> None:
    encoded, words = nlp.encode_sentences([["a", "b"], ["b", "c"]])
    assert encoded == [[0, 1], [1, 2]]
    assert words == {"\n": -1, "a": 0, "b": 1, "c": 2}
    assert nlp.encode_sentences([["a", "x"]], words) == ([[0, -1]], words)
    assert nlp.encode_sentences([["a", "b"]], invalid_label=1, start_label=0)[0] == [[0, 2]]


def test_a_service_needs_an_inference() -> None:
    with pytest.raises(NotImplementedError, match="ModelService does not define inference"):
        ModelService("m", "/dir", {}).inference([])
    assert SingleNodeService("m", "/dir", {}).inference([1]) == [1]


def test_a_timed_function_prints_what_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    @timeit
    def double(value: int) -> int:
        """Doubles."""
        return value * 2

    assert double(2) == 4
    assert double.__doc__ == "Doubles."
    shown = capsys.readouterr().out
    assert shown.startswith("func: 'double' took a total of 0.0")
    assert shown.endswith("sec of CPU time\n")
