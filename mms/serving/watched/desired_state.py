"""The file that says which models are to be there: `models_file`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from mms.registration import REGISTER, InvalidCall, parameters_of
from mms.registration.naming import check_names_model
from mms.serving.options import RegisterOptions
from mms.text.brief import brief
from mms.text.documents import InvalidDocument, read_yaml
from mms.text.nearest import did_you_mean

_MODELS: Final = "models"
_DEFAULTS: Final = "defaults"
#: A registration waits for its workers, or not; here they load in the background.
_NOT_HERE: Final = "synchronous"
_MOST_MODELS: Final = 10_000


class InvalidDesiredState(ValueError):
    """The file cannot be what is wanted. The message says what is wrong, and of which model."""


@dataclass(frozen=True, slots=True)
class DesiredModel:
    """One model of the file. `name`: as it is registered, else as its url says."""

    name: str
    options: RegisterOptions

    @property
    def without_counts(self) -> RegisterOptions:
        """What is registered, but for the numbers of its workers."""
        return self.options.with_values(initial_workers=None, max_worker=None)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What the file says. `defaults`: the default version, by model."""

    models: tuple[DesiredModel, ...] = ()
    defaults: Mapping[str, str] | None = None


def read_desired_state(text: bytes) -> DesiredState:
    """Return what a file says, YAML or JSON. Blocks. Raises InvalidDesiredState: one wrong entry fails all of it."""
    try:
        document = read_yaml(text)
    except InvalidDocument as error:
        raise InvalidDesiredState(f"it is no YAML: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get(_MODELS), list):
        raise InvalidDesiredState("it has no list `models:`; `models: []` is for no models")
    for key in document:
        if key not in (_MODELS, _DEFAULTS):
            hint = did_you_mean(str(key), (_MODELS, _DEFAULTS))
            raise InvalidDesiredState(f"{brief(key)} is unknown{hint}")
    entries = document[_MODELS]
    if len(entries) > _MOST_MODELS:
        raise InvalidDesiredState(f"it has more than {_MOST_MODELS} models")
    models = tuple(_model_of(number, entry) for number, entry in enumerate(entries, 1))
    return DesiredState(models, _defaults_of(document.get(_DEFAULTS) or {}, models))


def _model_of(number: int, entry: Any) -> DesiredModel:
    where = f"model {number}"
    if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
        raise InvalidDesiredState(f"{where} is no mapping of a registration's parameters")
    call = _EntryCall(entry)
    try:
        check_names_model(RegisterOptions, call, is_json=True)
        members = RegisterOptions.read(call, REGISTER, is_json=True)
    except InvalidCall as error:
        raise InvalidDesiredState(f"{where}: {str(error).removesuffix('.')}") from None
    known = [
        name
        for declared in parameters_of(RegisterOptions, REGISTER)
        for name in (declared.name, *declared.aliases)
        if name != _NOT_HERE
    ]
    for name in entry:
        if name not in known:
            raise InvalidDesiredState(
                f"{where}: parameter {brief(name)} is unknown{did_you_mean(name, known)}"
            )
    options = RegisterOptions().with_values(
        **{**members, "synchronous": False, "is_from_operator": True}
    )
    name = options.model_name or PurePosixPath(options.url.partition("?")[0].rstrip("/")).stem
    if not name:
        raise InvalidDesiredState(f"{where} needs a model_name")
    return DesiredModel(name, options)


def _defaults_of(value: Any, models: tuple[DesiredModel, ...]) -> Mapping[str, str]:
    names = {model.name for model in models}
    if not isinstance(value, dict):
        raise InvalidDesiredState("`defaults:` has a version for each model that it names")
    for name, version in value.items():
        if name not in names:
            raise InvalidDesiredState(f"defaults: there is no model {brief(name)} in the file")
        if not isinstance(version, str):
            raise InvalidDesiredState(
                f"defaults: the version of {brief(name)} is a text; put {brief(version)} in quotes"
            )
    return value


class _EntryCall:
    """An entry, read as the JSON body of a registration."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._entry = entry

    def get(self, name: str, /) -> Any:
        return self._entry.get(name)

    def note(self, sentence: str) -> None:
        """What another unit or form would be is a mistake in a file."""
        raise InvalidCall(f"Parameter {sentence}")
