"""What a model's archive declares of its tensors, found when it is registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archiver.manifest import MANIFEST_NAME
from archiver.model_config import CONFIG_NAME
from mms.errors import InvalidModel
from mms.interfaces.oip.declared.mlflow_signature import MLMODEL_FILE, read_mlmodel
from mms.interfaces.oip.declared.model_settings import SETTINGS_FILE, read_settings
from mms.interfaces.oip.declared.onnx_signature import read_onnx
from mms.interfaces.oip.declared.triton_config import CONFIG_FILE, read_config
from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.serving.served.pooled_model import PooledModel

#: In `model-config.yaml` and in the manifest's `model.extensions`.
KEY: Final = "oip"
#: A declaration that names the file of the archive that has it.
_SIGNATURE: Final = "signature"
_ONNX_SUFFIX: Final = ".onnx"
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
    for name in (CONFIG_FILE, SETTINGS_FILE):
        path = folder / name
        if path.is_file():
            with _named(name):
                return _not_empty(_of_file(path))
    if served.options.component.prepackaged is None:
        return None
    return _of_saved_model(served)


def _written(said: Any, folder: Path) -> ModelDeclaration | None:
    """Return what a person has written, or what is in the file that it names."""
    if not isinstance(said, Mapping) or _SIGNATURE not in said:
        return ModelDeclaration.from_members(said)
    name = said[_SIGNATURE]
    if len(said) > 1:
        raise InvalidDeclaration(
            f"{_SIGNATURE} names a file that says all, and nothing goes with it"
        )
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InvalidDeclaration(
            f"{_SIGNATURE} must be the name of a file of the archive, not {brief(name)}"
        )
    path = folder / name
    if not path.is_file():
        raise InvalidDeclaration(f"the archive has no file {name}, which {_SIGNATURE} names")
    return _of_file(path)


def _of_file(path: Path) -> ModelDeclaration | None:
    if path.suffix == _ONNX_SUFFIX:
        return read_onnx(path)
    if path.name == SETTINGS_FILE:
        return read_settings(path.read_bytes()).declaration
    if path.suffix == Path(CONFIG_FILE).suffix:
        return read_config(path.read_bytes()).declaration
    if path.name == MLMODEL_FILE:
        return read_mlmodel(path.read_bytes())
    raise InvalidDeclaration(
        f"{path.name} is none of a file *{_ONNX_SUFFIX}, {MLMODEL_FILE}, {CONFIG_FILE} and {SETTINGS_FILE}"
    )


def _not_empty(declaration: ModelDeclaration | None) -> ModelDeclaration | None:
    if declaration is None or not (declaration.inputs or declaration.outputs):
        return None
    return declaration


def _of_saved_model(served: PooledModel) -> ModelDeclaration | None:
    """Return the signature of a model that a library has saved, where its file is the only one of its kind."""
    files = served.model_files
    place = served.archive.folder if files is None else Path(files.path)
    if place.is_file():
        found = [place] if place.suffix == _ONNX_SUFFIX else []
    else:
        found = [place / MLMODEL_FILE] if (place / MLMODEL_FILE).is_file() else []
        if served.options.component.prepackaged == "onnx":
            found = sorted(place.glob(f"*{_ONNX_SUFFIX}"))
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
        raise InvalidModel(
            f"The declaration of the model's tensors in {where} is wrong: {error}."
        ) from None
    except OSError as error:
        raise InvalidModel(f"{where} cannot be read: {error}.") from None
