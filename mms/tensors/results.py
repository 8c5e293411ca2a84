"""What models' code returns, as tensors: by the model's declaration, else by what the values are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mms.tensors.binary import bytes_of
from mms.tensors.datatypes import BOOL, BYTES, DATATYPES, datatype_of
from mms.tensors.declaration import OUTPUT, ModelDeclaration, TensorDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import NO_PARAMETERS, InferRequest, InferResponse, Tensor
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

_SERVER: Final = 500


def response_of(
    result: Any, request: InferRequest, declaration: ModelDeclaration | None = None
) -> InferResponse:
    """Return the answer that a result is: a mapping of names to values, or the value of the only output.

    A value is an array, a list, a scalar, text, bytes, or a `Tensor`. Whole numbers are INT64, other numbers FP64,
    truths BOOL, texts BYTES in UTF-8. Outputs that are declared are cast to their datatype. Raises InferError, which
    names the output: 500 for what the result lacks, 400 for an output that was asked for and that the model does not
    have.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in outputs_of(result, declaration).items():
        if not isinstance(name, str):
            raise InferError(
                f"The model's result has the output {brief(name)}, whose name is no text.", _SERVER
            )
        declared = None if declaration is None else declaration.find_output(name)
        if declared is not None:
            tensors[name] = _declared_tensor(declared, value)
        elif declaration is None or not declaration.outputs:
            tensors[name] = tensor_of(name, value)
    return InferResponse(_selected(tensors, request, declaration))


def are_arrays(value: Any) -> bool:
    """Return whether a result is tensors as it is, whatever else its elements could be."""
    return isinstance(value, np.ndarray) or (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(each, np.ndarray) for each in value.values())
    )


def outputs_of(result: Any, declaration: ModelDeclaration | None = None) -> Mapping[Any, Any]:
    """Return what a result has by name: a mapping itself, or the value of the only output. Raises InferError (500)."""
    is_by_name = type(result) is dict or isinstance(result, Mapping)
    return result if is_by_name else {_only_output(declaration): result}


def tensor_of(name: str, value: Any) -> Tensor:
    """Return a value as a tensor of the datatype that it has by itself. Raises InferError (500)."""
    if isinstance(value, Tensor):
        return value if value.name == name else value._replace(name=name)
    array = array_of(name, value)
    datatype = datatype_of(array.dtype)
    if datatype == BYTES:
        return Tensor(name, BYTES, array.shape, _array_of_bytes(name, array))
    if not datatype:
        raise InferError(
            f"Output {brief(name)} is of numpy's type {array.dtype}, which no datatype has.",
            _SERVER,
        )
    return Tensor(name, datatype, array.shape, array)


def _only_output(declaration: ModelDeclaration | None) -> str:
    if declaration is None or not declaration.outputs:
        return OUTPUT
    if len(declaration.outputs) > 1:
        names = ", ".join(each.name for each in declaration.outputs)
        raise InferError(
            f"The model's result is no dict, and the model declares the outputs {names}: a dict of name to array is "
            "right.",
            _SERVER,
        )
    return declaration.outputs[0].name


def _selected(
    tensors: dict[str, Tensor], request: InferRequest, declaration: ModelDeclaration | None
) -> list[Tensor]:
    """Return the outputs that were asked for, in that order; else all, the declared ones in their order."""
    if request.outputs:
        for requested in request.outputs:
            if requested.name not in tensors:
                raise _missing(requested.name, tensors, declaration)
        # Each once, however often it was asked for.
        return [tensors[name] for name in dict.fromkeys(each.name for each in request.outputs)]
    if declaration is None or not declaration.outputs:
        return list(tensors.values())
    for declared in declaration.outputs:
        if declared.name not in tensors and not declared.is_optional:
            raise _missing(declared.name, tensors, declaration)
    return [tensors[each.name] for each in declaration.outputs if each.name in tensors]


def _missing(
    name: str, tensors: Mapping[str, Tensor], declaration: ModelDeclaration | None
) -> InferError:
    if declaration is not None and declaration.find_output(name) is not None:
        return InferError(
            f"Output {brief(name)} is declared, and the model's result does not have it.", _SERVER
        )
    return InferError(
        f"Unknown output {brief(name)}; the model gave {', '.join(tensors) or 'none'}."
    )


def _declared_tensor(declared: TensorDeclaration, value: Any) -> Tensor:
    parameters = NO_PARAMETERS
    if isinstance(value, Tensor):
        value, parameters = value.array, value.parameters
    name = declared.name
    array = _cast(name, array_of(name, value), declared.datatype)
    if not declared.fits(array.shape):
        raise InferError(
            f"Output {brief(name)} has the shape {list(array.shape)}; the model declares {list(declared.shape)}.",
            _SERVER,
        )
    return Tensor(name, declared.datatype, array.shape, array, parameters)


def _cast(name: str, array: Array, datatype: str) -> Array:
    """Return an array in numpy's type of a datatype. Raises InferError where its values are none of that."""
    if datatype == BYTES:
        if datatype_of(array.dtype) != BYTES:
            raise _unfit(name, array, datatype)
        return _array_of_bytes(name, array)
    wanted = np.dtype(DATATYPES[datatype].numpy)
    if array.dtype == wanted:
        return array
    if array.dtype.kind not in "biuf":
        raise _unfit(name, array, datatype)
    with np.errstate(all="ignore"):
        cast = array.astype(wanted)
        # Rounding is what a smaller type of fractions is for; anything else would be another value.
        is_exact = wanted.kind == "f" or np.can_cast(array.dtype, wanted, "safe")
        if not is_exact and not bool((cast == array).all()):
            what = "true or false" if datatype == BOOL else datatype
            raise InferError(
                f"Output {brief(name)} is declared as {datatype}, and has values of {array.dtype} that are not {what}.",
                _SERVER,
            )
    return cast


def _unfit(name: str, array: Array, datatype: str) -> InferError:
    return InferError(
        f"Output {brief(name)} is declared as {datatype}, and the model's result has numpy's type {array.dtype}.",
        _SERVER,
    )


def array_of(name: str, value: Any) -> Array:
    """Return the value of an output as numpy has it.

    Raises InferError (500) for what has no datatype: lists of unequal length, objects, None.
    """
    if isinstance(value, np.ndarray):
        if type(value) is np.ndarray:
            return value
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise InferError(
                f"Output {brief(name)} has masked elements, which no datatype has.", _SERVER
            )
        return np.asarray(value)
    if isinstance(value, str | bytes | bytearray):
        array = np.empty((), object)
        array[()] = bytes(value) if isinstance(value, bytearray) else value
        return array
    if isinstance(value, Sequence) and _holds_bytes(value):
        # numpy would cut zero bytes off the ends of byte strings.
        return _array(name, value, object)
    array = _array(name, value, None)
    if array.dtype == object:
        first = next((each for each in array.ravel().tolist()), None)
        if isinstance(first, int):
            raise InferError(
                f"Output {brief(name)} has whole numbers that are larger than any datatype holds.",
                _SERVER,
            )
    return array


def _holds_bytes(value: Any) -> bool:
    while isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        if not value:
            return False
        value = value[0]
    return isinstance(value, str | bytes | bytearray)


def _array(name: str, value: Any, dtype: Any) -> Array:
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InferError(f"Output {brief(name)} is no array: {error}.", _SERVER) from None


def _array_of_bytes(name: str, array: Array) -> Array:
    """Return an array whose elements are `bytes`."""
    found: Array = np.empty(array.size, object)
    what = f"Output {brief(name)}"
    for index, element in enumerate(array.ravel().tolist()):
        found[index] = bytes_of(element, what)
    found = found.reshape(array.shape)
    return found
