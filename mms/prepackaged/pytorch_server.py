"""PyTorch modules: a class with its weights, an exported program, TorchScript, or what MLflow saved."""

from __future__ import annotations

import ast
import importlib.util
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.inputs import as_array
from mms.prepackaged.library import import_library, reading
from mms.prepackaged.mlflow_layout import find_flavor, has_mlflow_layout
from mms.prepackaged.model_folder import ModelFolder
from mms.prepackaged.server import SavedModelServer

EXTRA = "pytorch"
CLASS_NAME = "PyTorchModel"
#: `torch.export.save` writes the last; the others hold weights or TorchScript.
EXPORTED = ".pt2"
FILES = ("*.pt", "*.pth", f"*{EXPORTED}")
_EXPECTED = "exactly one file *.pt, *.pth or *.pt2"
#: Lightning keeps the weights of its checkpoints under this key.
_WEIGHTS_KEY = "state_dict"


class PytorchServer(SavedModelServer):
    """One `*.py` with a class `PyTorchModel` and one `*.pt` or `*.pth` with its weights; or one file with an exported
    program (`*.pt2`) or TorchScript; or MLflow's folder.

    `device`: `cpu`, `cuda`, `cuda:1`; None takes a GPU where there is one. `dtype`: the element type that
    inputs are converted to, as torch names it.
    """

    def __init__(
        self, model_uri: str | None = None, device: str | None = None, dtype: str = "float32"
    ) -> None:
        super().__init__(model_uri)
        self._wanted_device = device
        self._wanted_dtype = dtype
        self._torch: Any = None
        self._device: Any = None
        self._dtype: Any = None
        self._module: Any = None

    def open_model(self, folder: ModelFolder) -> None:
        torch = self._torch = import_library("torch", EXTRA)
        self._dtype = getattr(torch, self._wanted_dtype, None)
        if not isinstance(self._dtype, torch.dtype):
            raise ValueError(f"dtype {self._wanted_dtype!r} is not an element type of torch")
        gpu = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(self._wanted_device or gpu)
        if has_mlflow_layout(folder):
            flavor = find_flavor(folder, "pytorch")
            data = str(flavor.members.get("model_data", "data"))
            saved = ModelFolder(str(folder.inside(data, flavor.description)))
            self._module = self._open_file(saved.one(_EXPECTED, *FILES), code=None)
        else:
            file = folder.one(f"{_EXPECTED}, or MLmodel by MLflow", *FILES)
            self._module = self._open_file(file, code=folder)

    def answer(self, X: Any, names: Any) -> Any:
        torch = self._torch
        # A copy: arrays of gRPC requests are read-only, which tensors cannot be.
        tensor = torch.tensor(_numbers(X), dtype=self._dtype, device=self._device)
        with torch.inference_mode():
            result = self._module(tensor)
        if isinstance(result, Mapping):
            return {str(name): value.tolist() for name, value in result.items()}
        if not isinstance(result, torch.Tensor):
            kind = type(result).__name__
            raise TypeError(f"{CLASS_NAME} returned a {kind}; expected a tensor or a dict of them")
        return result.cpu().numpy()

    def class_names(self) -> list[str]:
        """None known: the response's names are an empty list, as with PrimeHub's server."""
        return []

    def _open_file(self, file: Path, code: ModelFolder | None) -> Any:
        """Return the module, ready to be called. `code` has its class; None: the file has, by MLflow."""
        torch = self._torch
        if file.suffix == EXPORTED:
            with reading(file, "a program saved by torch.export.save"):
                # Always in the mode that it was exported in; eval() raises.
                return torch.export.load(file).module().to(self._device)
        if _is_torchscript(file):
            with reading(file, "TorchScript"):
                return torch.jit.load(str(file), map_location=self._device).eval()
        if code is not None:
            return self._build(_find_class_file(code), file).to(self._device).eval()
        import_library("cloudpickle", EXTRA)
        with reading(file, "a module saved by MLflow"):
            module = torch.load(file, map_location=self._device, weights_only=False)
            return module.to(self._device).eval()

    def _build(self, code: Path, weights: Path) -> Any:
        with reading(weights, "the state dict of a module (torch.save(model.state_dict(), ...))"):
            state = self._torch.load(weights, map_location=self._device, weights_only=True)
            if isinstance(state, Mapping) and isinstance(state.get(_WEIGHTS_KEY), Mapping):
                state = state[_WEIGHTS_KEY]
            if not isinstance(state, Mapping):
                raise TypeError(f"it holds a {type(state).__name__}")
        module = getattr(_import_file(code), CLASS_NAME)()
        with reading(weights, f"the weights of {CLASS_NAME} in {code.name}"):
            module.load_state_dict(state)
        return module


def _numbers(X: Any) -> Any:
    array = as_array(X)
    if array.dtype.kind not in "biuf":
        raise UnfitInput(f"the model takes numbers; the input is an array of {array.dtype}")
    return array


def _is_torchscript(file: Path) -> bool:
    """Both are ZIP files; TorchScript has code in it."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as content:
        return any(name.split("/")[1:2] == ["code"] for name in content.namelist())


def _find_class_file(folder: ModelFolder) -> Path:
    """By reading, so that no other file of the folder runs."""
    expected = f"exactly one file *.py with a class {CLASS_NAME} beside the weights"
    defining = [file for file in folder.path.glob("*.py") if _defines_class(file)]
    if len(defining) != 1:
        raise folder.unexpected(expected, sorted(defining))
    return defining[0]


def _defines_class(file: Path) -> bool:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ModelNotLoaded(f"{file} is not valid Python: {error}") from error
    return any(isinstance(node, ast.ClassDef) and node.name == CLASS_NAME for node in tree.body)


def _import_file(file: Path) -> ModuleType:
    """Modules beside it are importable for it."""
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ModelNotLoaded(f"{file} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module
