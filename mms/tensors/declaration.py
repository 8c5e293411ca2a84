"""What a model declares of its tensors: the inputs that it takes, the outputs that it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mms.tensors.datatypes import DATATYPES, MAX_RANK
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, Tensor
from mms.text.brief import brief
from mms.text.nearest import did_you_mean

#: The names of an input and of an output that nothing else names.
INPUT: Final = "input_0"
OUTPUT: Final = "output_0"
#: A dimension of any size.
ANY: Final = -1
#: More than any model has, and few enough to be looked through for each request.
_MAX_TENSORS: Final = 1000
_MAX_DIMENSION: Final = 2**63 - 1
_MEMBERS: Final = ("inputs", "outputs", "max_batch_size")
_OF_TENSOR: Final = ("name", "datatype", "shape", "optional")


class InvalidDeclaration(ValueError):
    """A declaration is wrong. The message names the tensor and the member, and what would be right."""


class TensorDeclaration(NamedTuple):
    """One tensor. `shape`: as clients send it, axis 0 of batches included; `ANY` where a dimension has any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    #: Whether a request may leave it out.
    is_optional: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.datatype} {list(self.shape)})"

    def metadata(self) -> dict[str, Any]:
        """Return the tensor as metadata of models have it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def fits(self, shape: Sequence[int]) -> bool:
        if len(shape) != len(self.shape):
            return False
        return all(
            declared in (ANY, size) for size, declared in zip(shape, self.shape, strict=True)
        )

    def check(self, tensor: Tensor) -> None:
        """Raise InferError (400) where an input of a request has another datatype or shape."""
        if tensor.datatype != self.datatype:
            raise InferError(
                f"Input {brief(self.name)} has the datatype {tensor.datatype}; the model takes {self.datatype}.",
            )
        shape = tensor.shape
        if self.fits(shape):
            return
        what = f"Input {brief(self.name)} has the shape {list(shape)}"
        wanted = f"the model takes {list(self.shape)}"
        if len(shape) != len(self.shape):
            what += f", which is of rank {len(shape)}"
            wanted += f", rank {len(self.shape)}"
        else:
            axis = next(
                axis
                for axis, (size, declared) in enumerate(zip(shape, self.shape, strict=True))
                if size != declared and declared != ANY
            )
            what += f", {shape[axis]} in dimension {axis}"
        raise InferError(f"{what}; {wanted}{_note(self.shape)}.")


class ModelDeclaration:
    """The tensors of a model; without inputs or outputs nothing is said of these. Immutable.

    `max_batch_size`: how many rows a request may have at most on axis 0 of all its tensors, which is the batch's; 0
    where axis 0 means nothing of that kind.
    """

    __slots__ = ("_inputs", "_outputs", "_required", "inputs", "max_batch_size", "outputs")

    def __init__(
        self,
        inputs: Sequence[TensorDeclaration] = (),
        outputs: Sequence[TensorDeclaration] = (),
        max_batch_size: int = 0,
    ) -> None:
        """Raises InvalidDeclaration."""
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.max_batch_size = max_batch_size
        self._inputs = _by_name(self.inputs, "inputs", max_batch_size)
        self._outputs = _by_name(self.outputs, "outputs", max_batch_size)
        self._required = sum(not each.is_optional for each in self.inputs)

    def __repr__(self) -> str:
        return f"ModelDeclaration({self.to_members()})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelDeclaration):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.inputs, self.outputs, self.max_batch_size

    @classmethod
    def from_members(cls, members: Any) -> ModelDeclaration:
        """Read what `to_members` returns, or a person wrote. Raises InvalidDeclaration."""
        if not isinstance(members, Mapping):
            raise InvalidDeclaration(
                f"it must be a mapping with {', '.join(_MEMBERS)}, not {brief(members)}"
            )
        _refuse_unknown(members, _MEMBERS, "")
        count = members.get("max_batch_size")
        if count is None:
            count = 0
        if not _is_whole(count) or not 0 <= count <= _MAX_DIMENSION:
            raise InvalidDeclaration(
                f"max_batch_size must be a whole number from 0 on, not {brief(count)}"
            )
        return cls(
            tuple(_tensors(members.get("inputs"), "inputs")),
            tuple(_tensors(members.get("outputs"), "outputs")),
            count,
        )

    def to_members(self) -> dict[str, Any]:
        """Return it as JSON has it, for describe, state files and workers."""
        members: dict[str, Any] = {
            "inputs": [_members_of(each) for each in self.inputs],
            "outputs": [_members_of(each) for each in self.outputs],
        }
        if self.max_batch_size:
            members["max_batch_size"] = self.max_batch_size
        return members

    def input_metadata(self) -> list[dict[str, Any]]:
        """Return the inputs as metadata of models have them."""
        return [each.metadata() for each in self.inputs]

    def output_metadata(self) -> list[dict[str, Any]]:
        return [each.metadata() for each in self.outputs]

    def find_output(self, name: str) -> TensorDeclaration | None:
        return self._outputs.get(name)

    def check(self, request: InferRequest) -> None:
        """Raise InferError (400), which names the input or output, for a request that is not as declared."""
        inputs = request.inputs
        if self.inputs:
            present = 0
            for name, tensor in inputs.items():
                declared = self._inputs.get(name)
                if declared is None:
                    raise InferError(self._unknown("input", name, self._inputs))
                declared.check(tensor)
                present += not declared.is_optional
            if present < self._required:
                missing = next(
                    each for each in self.inputs if not each.is_optional and each.name not in inputs
                )
                raise InferError(
                    f"Input {brief(missing.name)} is missing; the model takes {missing}."
                )
        if self.outputs and request.outputs:
            for requested in request.outputs:
                if requested.name not in self._outputs:
                    raise InferError(self._unknown("output", requested.name, self._outputs))
        if self.max_batch_size:
            self._check_rows(inputs)

    def _check_rows(self, inputs: Mapping[str, Tensor]) -> None:
        first: Tensor | None = None
        for tensor in inputs.values():
            if not tensor.shape:
                raise InferError(
                    f"Input {brief(tensor.name)} has no dimension; axis 0 of the model's inputs is that of the batch.",
                )
            if first is None:
                first = tensor
                if tensor.shape[0] > self.max_batch_size:
                    raise InferError(
                        f"Input {brief(tensor.name)} has {tensor.shape[0]} rows on axis 0; the model takes at most "
                        f"{self.max_batch_size} (max_batch_size).",
                    )
            elif tensor.shape[0] != first.shape[0]:
                raise InferError(
                    f"Input {brief(tensor.name)} has {tensor.shape[0]} rows on axis 0, and input {brief(first.name)} "
                    f"has {first.shape[0]}; a batch has equally many of each.",
                )

    @staticmethod
    def _unknown(what: str, name: str, known: Mapping[str, TensorDeclaration]) -> str:
        hint = did_you_mean(name, known) or f"; the model has {', '.join(known)}."
        return f"Unknown {what} {brief(name)}{hint}"


def _note(shape: Sequence[int]) -> str:
    return " (-1: any size)" if ANY in shape else ""


def _by_name(
    tensors: Sequence[TensorDeclaration], what: str, max_batch_size: int
) -> dict[str, TensorDeclaration]:
    found: dict[str, TensorDeclaration] = {}
    for tensor in tensors:
        if tensor.name in found:
            raise InvalidDeclaration(f"{what} has the name {brief(tensor.name)} twice")
        if max_batch_size and (not tensor.shape or tensor.shape[0] != ANY):
            raise InvalidDeclaration(
                f"{tensor.name} of {what} has the shape {list(tensor.shape)}; with max_batch_size, axis 0 is that of "
                "the batch, whose size is -1"
            )
        found[tensor.name] = tensor
    return found


def _members_of(tensor: TensorDeclaration) -> dict[str, Any]:
    return tensor.metadata() | ({"optional": True} if tensor.is_optional else {})


def _tensors(said: Any, what: str) -> Iterator[TensorDeclaration]:
    if said is None:
        return
    if not isinstance(said, Sequence) or isinstance(said, str | bytes):
        raise InvalidDeclaration(
            f'{what} must be a list of {{"name", "datatype", "shape"}}, not {brief(said)}'
        )
    if len(said) > _MAX_TENSORS:
        raise InvalidDeclaration(f"{what} has {len(said)} tensors; {_MAX_TENSORS} are the most")
    for number, members in enumerate(said):
        yield read_tensor(members, f"{what}[{number}]")


def read_tensor(members: Any, where: str) -> TensorDeclaration:
    """Return the tensor that a mapping declares; `where` names it in messages. Raises InvalidDeclaration."""
    if not isinstance(members, Mapping):
        raise InvalidDeclaration(
            f'{where} must be a mapping with "name", "datatype" and "shape", not {brief(members)}'
        )
    name = members.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidDeclaration(f"{where}.name must be a text, not {brief(name)}")
    where = f"{where} ({name})"
    _refuse_unknown(members, _OF_TENSOR, f" of {where}")
    datatype = members.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InvalidDeclaration(
            f"{where} has the datatype {brief(datatype)}, which is not one of {', '.join(DATATYPES)}"
        )
    shape = members.get("shape")
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes):
        raise InvalidDeclaration(
            f"{where} has the shape {brief(shape)}; a list such as [-1, 4] is right"
        )
    if len(shape) > MAX_RANK:
        raise InvalidDeclaration(f"{where} has {len(shape)} dimensions; {MAX_RANK} are the most")
    for size in shape:
        if not _is_whole(size) or not ANY <= size <= _MAX_DIMENSION:
            raise InvalidDeclaration(
                f"{where} has the dimension {brief(size)}; a whole number from 0 on, or -1 for any size, is right"
            )
    is_optional = members.get("optional", False)
    if not isinstance(is_optional, bool):
        raise InvalidDeclaration(
            f"{where}.optional must be true or false, not {brief(is_optional)}"
        )
    return TensorDeclaration(name, datatype, tuple(shape), is_optional)


def all_or_none(tensors: Sequence[TensorDeclaration | None]) -> list[TensorDeclaration]:
    """Return the tensors of one side, or none where one of them is unknown: a part of them would say too little."""
    found = [each for each in tensors if each is not None]
    return found if len(found) == len(tensors) else []


def _refuse_unknown(members: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for member in members:
        if member not in known:
            hint = did_you_mean(str(member), known) or f"; known are {', '.join(known)}"
            raise InvalidDeclaration(f"unknown member {brief(member)}{where}{hint}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
