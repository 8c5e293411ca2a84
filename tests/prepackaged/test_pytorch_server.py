from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import importing_from, library, write_mlmodel

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.pytorch_server import PytorchServer

torch = library("torch", "pytorch")

CODE = """
import torch


class PyTorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, x):
        return self.dropout(self.linear(x))
"""
ROWS = np.arange(8.0).reshape(2, 4)


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path) -> Iterator[None]:
    with importing_from(tmp_path):
        yield


@pytest.fixture
def linear() -> Any:
    torch.manual_seed(0)
    return torch.nn.Linear(4, 3).eval()


def expected(linear: Any) -> Any:
    return linear(torch.tensor(ROWS, dtype=torch.float32)).detach().numpy()


def weights_of(linear: Any) -> dict[str, Any]:
    return {f"linear.{name}": value for name, value in linear.state_dict().items()}


def loaded(uri: object, **parameters: Any) -> PytorchServer:
    server = PytorchServer(model_uri=str(uri), **parameters)
    server.load()
    return server


@pytest.mark.parametrize("ending", ["pt", "pth"])
def test_a_class_and_its_weights_predict_in_evaluation_mode(
    tmp_path: Path, linear: Any, ending: str
) -> None:
    (tmp_path / "ModelClass.py").write_text(CODE, encoding="utf-8")
    torch.save(weights_of(linear), tmp_path / f"model.{ending}")
    answer = loaded(tmp_path).predict(ROWS)
    np.testing.assert_allclose(answer, expected(linear), rtol=1e-6)
    assert answer.dtype == np.float32


def test_the_weights_of_a_lightning_checkpoint_are_taken(tmp_path: Path, linear: Any) -> None:
    (tmp_path / "ModelClass.py").write_text(CODE, encoding="utf-8")
    torch.save({"epoch": 3, "state_dict": weights_of(linear)}, tmp_path / "model.pt")
    np.testing.assert_allclose(loaded(tmp_path).predict(ROWS), expected(linear), rtol=1e-6)


def test_the_class_may_import_files_beside_it_that_do_not_run_by_themselves(
    tmp_path: Path, linear: Any
) -> None:
    (tmp_path / "ModelClass.py").write_text("import layer_sizes\n" + CODE, encoding="utf-8")
    (tmp_path / "layer_sizes.py").write_text("SIZES = (4, 3)\n", encoding="utf-8")
    (tmp_path / "train.py").write_text("raise SystemExit('trained')\n", encoding="utf-8")
    torch.save(weights_of(linear), tmp_path / "model.pt")
    np.testing.assert_allclose(loaded(tmp_path).predict(ROWS), expected(linear), rtol=1e-6)


def test_two_classes_of_that_name_are_refused_with_their_files(tmp_path: Path, linear: Any) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(CODE, encoding="utf-8")
    torch.save(weights_of(linear), tmp_path / "model.pt")
    with pytest.raises(ModelNotLoaded, match=r"several of them \(a\.py, b\.py\)"):
        loaded(tmp_path)


def test_weights_without_the_class_are_refused(tmp_path: Path, linear: Any) -> None:
    torch.save(weights_of(linear), tmp_path / "model.pt")
    with pytest.raises(ModelNotLoaded, match=r"exactly one file \*\.py with a class PyTorchModel"):
        loaded(tmp_path)


def test_weights_of_another_class_are_refused_with_both_files(tmp_path: Path, linear: Any) -> None:
    (tmp_path / "ModelClass.py").write_text(CODE, encoding="utf-8")
    torch.save({"other": torch.zeros(2)}, tmp_path / "model.pt")
    message = r"model\.pt could not be loaded as the weights of PyTorchModel in ModelClass\.py"
    with pytest.raises(ModelNotLoaded, match=message):
        loaded(tmp_path)


def test_code_in_a_weights_file_does_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "ModelClass.py").write_text(CODE, encoding="utf-8")
    torch.save(Harmful(), tmp_path / "model.pt")
    with pytest.raises(ModelNotLoaded, match=r"model\.pt could not be loaded as the state dict"):
        loaded(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_needs_no_class(tmp_path: Path, linear: Any) -> None:
    torch.jit.script(linear).save(str(tmp_path / "model.pt"))
    np.testing.assert_allclose(loaded(tmp_path).predict(ROWS), expected(linear), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_exported_program_needs_no_class(tmp_path: Path, linear: Any) -> None:
    rows = torch.export.Dim("rows")
    program = torch.export.export(linear, (torch.ones(2, 4),), dynamic_shapes=({0: rows},))
    torch.export.save(program, str(tmp_path / "model.pt2"))
    server = loaded(tmp_path)
    np.testing.assert_allclose(server.predict(ROWS), expected(linear), rtol=1e-6)
    assert server.predict(ROWS[:1]).shape == (1, 3)


def test_a_module_pickled_by_mlflow_is_read(tmp_path: Path, linear: Any) -> None:
    library("cloudpickle", "pytorch")
    write_mlmodel(tmp_path, {"pytorch": {"model_data": "data"}})
    (tmp_path / "data").mkdir()
    torch.save(linear, tmp_path / "data" / "model.pth")
    np.testing.assert_allclose(loaded(tmp_path).predict(ROWS), expected(linear), rtol=1e-6)


def test_a_dict_of_tensors_becomes_an_object(tmp_path: Path) -> None:
    code = CODE.replace("return self", "return {'score': x.sum(1)} if True else self")
    (tmp_path / "ModelClass.py").write_text(code, encoding="utf-8")
    torch.save(weights_of(torch.nn.Linear(4, 3)), tmp_path / "model.pt")
    assert loaded(tmp_path).predict(ROWS) == {"score": [6.0, 22.0]}


def test_inputs_are_converted_to_the_type_that_was_asked_for(tmp_path: Path) -> None:
    code = CODE.replace("return self", "return x + 1 if True else self")
    (tmp_path / "ModelClass.py").write_text(code, encoding="utf-8")
    torch.save(weights_of(torch.nn.Linear(4, 3)), tmp_path / "model.pt")
    assert loaded(tmp_path, dtype="int64").predict(np.array([[1.0, 2.0]])).dtype == np.int64
    with pytest.raises(ValueError, match="dtype 'text' is not an element type of torch"):
        loaded(tmp_path, dtype="text")


def test_text_is_refused(tmp_path: Path, linear: Any) -> None:
    (tmp_path / "ModelClass.py").write_text(CODE, encoding="utf-8")
    torch.save(weights_of(linear), tmp_path / "model.pt")
    with pytest.raises(UnfitInput, match="the model takes numbers; the input is an array of <U1"):
        loaded(tmp_path).predict(np.array([["a"]]))


def test_the_responses_names_are_empty() -> None:
    assert PytorchServer().class_names() == []
