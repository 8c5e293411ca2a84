"""What a model's archive declares of its tensors, found when it is registered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archiver.manifest import MANIFEST_NAME
from archiver.model_config import CONFIG_NAME
from mms.errors import InvalidModel
from mms.interfaces.oip.declared.files import (
    DESCRIPTIONS,
    KEY,
    ONNX_SUFFIX,
    absent,
    read_description,
    sentence,
    signature_of,
)
from mms.interfaces.oip.declared.mlflow_signature import MLMODEL_FILE
from mms.interfaces.oip.declared.onnx_signature import read_onnx
from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration

if TYPE_CHECKING:
    from mms.serving.served.pooled_model import PooledModel

#: The parameter of a server for ONNX models that names the output to answer with.
_OUTPUT: Final = "output"


def declaration_of(served: PooledModel) -> ModelDeclaration | None:
    """Return what is declared of a model's tensors, by the first that says something: its `model-config.yaml`, its
    manifest, `config.pbtxt`, `model-settings.json`, and for a saved model its own signature. None where nothing is.

    Blocks. Raises InvalidModel where the declaration is wrong.
    """
    folder = served.archive.folder
    config_file = served.manifest.config_file or CONFIG_NAME
    for said, where in (
        (served.model_config, config_file),
        (served.manifest.extensions, f"{MANIFEST_NAME}, model.extensions"),
    ):
        if said.get(KEY) is not None:
            with _named(f"{where}, {KEY}"):
                return _written(said[KEY], folder)
    for name in DESCRIPTIONS:
        path = folder / name
        if path.is_file():
            with _named(name):
                return _not_empty(_of_file(path))
    if served.options.component.prepackaged is None:
        return None
    return _of_saved_model(served)


def _written(said: Any, folder: Path) -> ModelDeclaration | None:
    """Return what a person has written, or what is in the file that it names."""
    name = signature_of(said)
    if name is None:
        return ModelDeclaration.from_members(said)
    path = folder / name
    if not path.is_file():
        raise absent(name)
    return _of_file(path)


def _of_file(path: Path) -> ModelDeclaration | None:
    if path.suffix == ONNX_SUFFIX:
        return read_onnx(path)
    return read_description(path.name, path.read_bytes())


def _not_empty(declaration: ModelDeclaration | None) -> ModelDeclaration | None:
    if declaration is None or not (declaration.inputs or declaration.outputs):
        return None
    return declaration


def _of_saved_model(served: PooledModel) -> ModelDeclaration | None:
    """Return the signature of a model that a library has saved, where its file is the only one of its kind."""
    files = served.model_files
    place = served.archive.folder if files is None else Path(files.path)
    if place.is_file():
        found = [place] if place.suffix == ONNX_SUFFIX else []
    else:
        found = [place / MLMODEL_FILE] if (place / MLMODEL_FILE).is_file() else []
        if served.options.component.prepackaged == "onnx":
            found = sorted(place.glob(f"*{ONNX_SUFFIX}"))
    if len(found) != 1:
        # Whether that is wrong, the worker says.
        return None
    with _named(found[0].name):
        declaration = _not_empty(_of_file(found[0]))
    output = next((p["value"] for p in served.parameters if p["name"] == _OUTPUT), None)
    if declaration is None or output is None:
        return declaration
    kept = [each for each in declaration.outputs if each.name == output]
    return ModelDeclaration(declaration.inputs, kept, declaration.max_batch_size)


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except InvalidDeclaration as error:
        raise InvalidModel(sentence(where, error)) from None
    except OSError as error:
        raise InvalidModel(f"{where} cannot be read: {error}.") from None
