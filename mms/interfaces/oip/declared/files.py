"""The files of an archive that declare tensors, each read by its name, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from mms.interfaces.oip.declared.mlflow_signature import MLMODEL_FILE, read_mlmodel
from mms.interfaces.oip.declared.model_settings import SETTINGS_FILE, read_settings
from mms.interfaces.oip.declared.triton_config import CONFIG_FILE, read_config
from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration
from mms.text.brief import brief

#: In `model-config.yaml` and in the manifest's `model.extensions`.
KEY: Final = "oip"
ONNX_SUFFIX: Final = ".onnx"
#: Files that declare tensors wherever they are.
DESCRIPTIONS: Final = (CONFIG_FILE, SETTINGS_FILE)
#: A declaration that names the file of the archive that has it.
_SIGNATURE: Final = "signature"


def signature_of(said: Any) -> str | None:
    """Return the file that a declaration names; None where it says all itself. Raises InvalidDeclaration."""
    if not isinstance(said, Mapping) or _SIGNATURE not in said:
        return None
    name = said[_SIGNATURE]
    if len(said) > 1:
        raise InvalidDeclaration(
            f"{_SIGNATURE} names a file that says all, and nothing goes with it"
        )
    path = PurePosixPath(name) if isinstance(name, str) else None
    if path is None or path.is_absolute() or ".." in path.parts:
        raise InvalidDeclaration(
            f"{_SIGNATURE} must be the name of a file of the archive, not {brief(name)}"
        )
    return str(name)


def absent(name: str) -> InvalidDeclaration:
    """Return the error of a file that a declaration names, and that is not there."""
    return InvalidDeclaration(f"the archive has no file {name}, which {_SIGNATURE} names")


def read_description(name: str, data: bytes) -> ModelDeclaration | None:
    """Return what a file declares that is no model itself; None: nothing. Raises InvalidDeclaration."""
    path = PurePosixPath(name)
    if path.name == SETTINGS_FILE:
        return read_settings(data).declaration
    if path.suffix == PurePosixPath(CONFIG_FILE).suffix:
        return read_config(data).declaration
    if path.name == MLMODEL_FILE:
        return read_mlmodel(data)
    raise InvalidDeclaration(
        f"{path.name} is none of a file *{ONNX_SUFFIX}, {MLMODEL_FILE}, {CONFIG_FILE} and {SETTINGS_FILE}"
    )


def find_problems(
    said: Mapping[str, Mapping[str, Any]], read: Callable[[str], bytes | None]
) -> Iterator[str]:
    """Yield what is wrong with the declarations of an archive, in sentences.

    `said`: by where it stands, each mapping that may have one. `read`: the content of a file, None where there is none.
    """
    for where, members in said.items():
        written = members.get(KEY)
        if written is None:
            continue
        try:
            name = signature_of(written)
            if name is None:
                ModelDeclaration.from_members(written)
                continue
            data = read(name)
            if data is None:
                raise absent(name)
            if not name.endswith(ONNX_SUFFIX):
                read_description(name, data)
        except InvalidDeclaration as error:
            yield sentence(f"{where}, {KEY}", error)
    for name in DESCRIPTIONS:
        data = read(name)
        if data is None:
            continue
        try:
            read_description(name, data)
        except InvalidDeclaration as error:
            yield sentence(name, error)


def sentence(where: str, error: InvalidDeclaration) -> str:
    return f"The declaration of the model's tensors in {where} is wrong: {error}."
