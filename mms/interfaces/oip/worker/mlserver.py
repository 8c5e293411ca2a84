"""Models of MLServer: classes with the base `MLModel`, made with their settings."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mms.interfaces.oip.declared.model_settings import SETTINGS_FILE
from mms.interfaces.oip.worker.row_joiner import RowJoiner
from mms.interfaces.oip.worker.rows import Group, parameters_for_model
from mms.tensors.binary import bytes_of
from mms.tensors.datatypes import BYTES, DATATYPES
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import Parameter, Tensor
from mms.text.brief import brief
from mms.text.typed_value import typed_value
from mms.wire import Load
from mms.worker.running.awaiting import is_awaitable, wait_for
from mms.worker.tensors.failures import Failures

_PACKAGE: Final = "mlserver"


class MlserverServer(RowJoiner):
    """Serves one model. With `max_batch_size` and `max_batch_time` in its settings, rows of requests are joined."""

    def __init__(
        self,
        model: Any,
        types: Any,
        settings: Any,
        load: Load,
        declaration: ModelDeclaration | None,
    ) -> None:
        """`types`: the module with the classes of requests."""
        joins = settings.max_batch_size > 1 and settings.max_batch_time > 0
        super().__init__(declaration, settings.max_batch_size if joins else 0)
        self._model = model
        self._types = types
        self._failures = Failures(load)
        self._name = load.model_name
        self._context = _own_context()

    def __repr__(self) -> str:
        return f"<MlserverServer of {self._name}>"

    def close(self) -> None:
        unloaded = self._model.unload()
        if is_awaitable(unloaded):
            wait_for(unloaded)

    def take_series(self) -> list[dict[str, Any]]:
        """Return updates of the model's own metrics since the last time; MLServer's package keeps them to itself."""
        take = getattr(importlib.import_module(_PACKAGE), "take_updates", None)
        return [] if take is None else take()

    def call(self, group: Group) -> Any:
        if self._context is None:
            return self._model.predict(self._given(group))
        return self._call_in_context(self._context, group)

    async def _call_in_context(self, context: Any, group: Group) -> Any:
        """What MLServer's own package knows the model by, where its code notes metrics."""
        with context(self._model.settings):
            result = self._model.predict(self._given(group))
            return await result if is_awaitable(result) else result

    def read(self, given: Any) -> tuple[Any, Mapping[str, Parameter]]:
        return _read(given)

    def failure(self, error: Exception) -> InferError:
        """Errors of MLServer's own kind have a status of their own."""
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and 400 <= status <= 599:
            return InferError(str(error), status)
        return self._failures.of(error)

    def _given(self, group: Group) -> Any:
        """Return the request that `predict` gets: one client's, or the rows of several."""
        types, request = self._types, group.requests[0]
        arrays = group.joined()
        # Its own classes hold lists, the stand-in's arrays, which become lists where a model asks for them.
        holds_arrays = hasattr(types.TensorData, "array")
        requested = request.outputs
        return types.InferenceRequest(
            # Rows of several clients have the id of none.
            id=(request.id or None) if len(group.requests) == 1 else None,
            parameters=self._parameters(parameters_for_model(request), "The request"),
            inputs=[
                types.RequestInput(
                    name=name,
                    shape=list(arrays[name].shape),
                    datatype=tensor.datatype,
                    parameters=self._parameters(tensor.parameters, f"Input {brief(name)}"),
                    data=arrays[name] if holds_arrays else _listed(arrays[name]),
                )
                for name, tensor in request.inputs.items()
            ],
            outputs=None
            if requested is None
            else [
                types.RequestOutput(
                    name=each.name,
                    parameters=self._parameters(each.parameters, f"Output {brief(each.name)}"),
                )
                for each in requested
            ],
        )

    def _parameters(self, said: Mapping[str, Parameter], what: str) -> Any:
        """Return parameters as attributes, which they are to models. Raises InferError (400) for what can be none."""
        if not said:
            return None
        kind = self._types.Parameters
        for name in said:
            # What begins so is the object's own, and another value in place of a method would break it.
            if name.startswith("_") or hasattr(kind, name):
                raise InferError(
                    f"{what} has the parameter {brief(name)}, which models of MLServer cannot be given: it begins with "
                    "an underscore, or is the name of a method of their parameters. Any other name is right."
                )
        try:
            return kind(**said)
        except (TypeError, ValueError) as error:
            raise InferError(
                f"{what} has parameters that MLServer does not take: {error}"
            ) from None


def _listed(array: Any) -> list[Any]:
    """Return the elements of an array as JSON would have brought them: BYTES as texts where they are UTF-8."""
    elements: list[Any] = array.ravel().tolist()
    if array.dtype != object:
        return elements
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError:
        return elements


def _read(response: Any) -> tuple[dict[str, Tensor], dict[str, Parameter]]:
    """Return the tensors and the parameters of an answer. Raises InferError (500) for what is none."""
    outputs = getattr(response, "outputs", None)
    if not isinstance(outputs, list):
        raise InferError(
            f"predict returned {type(response).__name__}; an InferenceResponse is right", 500
        )
    tensors = {}
    for output in outputs:
        datatype = str(getattr(output.datatype, "value", output.datatype))
        array = _array(output, datatype)
        tensors[output.name] = Tensor(
            *(output.name, datatype, array.shape, array, _plain(output.parameters)),
        )
    return tensors, _plain(response.parameters)


def _array(output: Any, datatype: str) -> Any:
    if datatype not in DATATYPES:
        raise InferError(
            f"Output {brief(output.name)} has the datatype {brief(datatype)}, which is none of {', '.join(DATATYPES)}.",
            500,
        )
    array = getattr(output.data, "array", None)
    if array is None:
        array = _of_list(output.data, datatype, output)
    elif datatype == BYTES:
        array = _of_elements(array.ravel().tolist(), output)
    if array.size != math.prod(output.shape):
        raise InferError(
            f"Output {brief(output.name)} has {array.size} elements for the shape {list(output.shape)}.",
            500,
        )
    return array.reshape(output.shape)


def _of_list(data: Any, datatype: str, output: Any) -> Any:
    found = getattr(data, "root", data)
    elements = list(_flat(found if isinstance(found, list) else [found]))
    if datatype == BYTES:
        count = math.prod(output.shape)
        if len(elements) == 1 and count > 1 and isinstance(elements[0], bytes):
            # Byte strings of one size, as MLServer's codec for numpy packs them.
            size = len(elements[0]) // count
            elements = [elements[0][at : at + size] for at in range(0, count * size, size or 1)]
        return _of_elements(elements, output)
    try:
        # What is missing among fractions is none as JSON has it.
        return np.array(
            [math.nan if element is None else element for element in elements],
            DATATYPES[datatype].numpy,
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise InferError(
            f"Output {brief(output.name)} is declared as {datatype}, and its data are not: {error}.",
            500,
        ) from None


def _flat(elements: Sequence[Any]) -> Any:
    for element in elements:
        if isinstance(element, list):
            yield from _flat(element)
        else:
            yield element


def _of_elements(elements: list[Any], output: Any) -> Any:
    what = f"Output {brief(output.name)}"
    found = np.empty(len(elements), object)
    found[:] = [bytes_of(element, what) for element in elements]
    return found


def _plain(parameters: Any) -> dict[str, Parameter]:
    """Return what of parameters the protocol carries, without what codecs keep there."""
    if parameters is None:
        return {}
    members = {**vars(parameters), **(getattr(parameters, "model_extra", None) or {})}
    return {
        name: value
        for name, value in members.items()
        if isinstance(value, str | int | float) and not name.startswith("_")
    }


def _own_context() -> Any:
    """Return the context manager that MLServer's own package has for a model; None of the stand-in."""
    try:
        return importlib.import_module(f"{_PACKAGE}.context").model_context
    except ImportError:
        return None


def open_mlserver(found: Any, load: Load, declaration: ModelDeclaration | None) -> MlserverServer:
    """Make the model, and have it load. Raises whatever its code raises, and RuntimeError where it says that it is not
    ready."""
    package = importlib.import_module(_PACKAGE)
    types = importlib.import_module(f"{_PACKAGE}.types")
    settings = _settings(package.ModelSettings, found, load)
    model = found(settings)
    loaded = model.load()
    if is_awaitable(loaded):
        loaded = wait_for(loaded)
    if loaded is False:
        raise RuntimeError(f"{type(model).__name__}.load returned False: the model is not ready")
    model.ready = True
    return MlserverServer(model, types, settings, load, declaration)


def _settings(kind: Any, found: Any, load: Load) -> Any:
    """Return the settings in the archive's file, with what the registration says in their place."""
    path = Path(load.model_dir, SETTINGS_FILE)
    if path.is_file():
        settings = kind.parse_file(str(path))
    else:
        settings = kind(name=load.model_name, implementation=found)
    if not settings.name:
        settings.name = load.model_name
    extra = {
        parameter["name"]: typed_value(parameter["value"], parameter["type"])
        for parameter in load.parameters
    }
    if not extra and load.model_files is None and settings.parameters is not None:
        return settings
    parameters = settings.parameters
    if parameters is None:
        module = importlib.import_module(f"{_PACKAGE}.settings")
        parameters = settings.parameters = module.ModelParameters()
    if load.model_files is not None:
        parameters.uri = load.model_files
    if parameters.version is None:
        parameters.version = load.model_version
    if extra:
        parameters.extra = {**(parameters.extra or {}), **extra}
    return settings
