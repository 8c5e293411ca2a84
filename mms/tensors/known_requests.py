"""What requests say besides the contents of their tensors. Most clients say the same each time: it is read once."""

from __future__ import annotations

import math
import os
from typing import Final, NamedTuple, TypeAlias

import orjson

from mms.tensors.binary import align, read_fixed
from mms.tensors.datatypes import DATATYPES, Datatype
from mms.tensors.json_numbers import CUT_FROM_BYTES, array_of_json, find_list, has_truths_in
from mms.tensors.tensor import NO_PARAMETERS, InferRequest, RequestedOutput, Tensor
from mms.text.brief import brief

Body: TypeAlias = bytes | bytearray

#: Requests that are remembered at once, and how long what they say may be, in bytes.
MOST_KNOWN: Final = 64
MOST_KNOWN_BYTES: Final = 2048
#: Contents from here on are moved to where arrays can begin, and not copied there.
_LARGE_BYTES: Final = 64 * 1024
#: Stands for a list that was cut out; clients cannot know it.
_MARK: Final = os.urandom(12).hex()


class KnownInput(NamedTuple):
    """An input but for its contents. `elements`: how many; `size`: of these in binary form, in bytes. `what`: its
    name, for messages."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    elements: int
    size: int
    what: str

    def read_binary(self, body: Body, at: int) -> Tensor:
        """Return the tensor whose bytes begin there. Raises InferError."""
        array = read_fixed(body, at, self.elements, self.datatype, self.shape, self.what)
        return Tensor(self.name, self.datatype.name, self.shape, array)

    def read_json(self, text: Body) -> Tensor:
        """Return the tensor of a list in JSON. Raises ValueError where it is none, and InferError."""
        data = orjson.loads(text)
        has_truths = has_truths_in(text, len(text))
        array = array_of_json(data, self.datatype, self.shape, self.what, has_truths=has_truths)
        return Tensor(self.name, self.datatype.name, self.shape, array)


class KnownRequest(NamedTuple):
    """A request but for the contents of its tensors. It has neither an id nor parameters."""

    version: str
    inputs: tuple[KnownInput, ...]
    outputs: tuple[RequestedOutput, ...] | None

    @classmethod
    def of(cls, request: InferRequest) -> KnownRequest | None:
        """Return what is to be remembered of a request; None where much of it is its own, or its contents are BYTES,
        whose sizes are."""
        if request.id or request.parameters:
            return None
        inputs = []
        for tensor in request.inputs.values():
            datatype = DATATYPES[tensor.datatype]
            if tensor.parameters or not datatype.item_bytes:
                return None
            shape = tuple(tensor.shape)
            elements = math.prod(shape)
            size = elements * datatype.item_bytes
            what = f"Input {brief(tensor.name)}"
            inputs.append(KnownInput(tensor.name, datatype, shape, elements, size, what))
        outputs = request.outputs
        if outputs is not None and any(output.parameters for output in outputs):
            return None
        return cls(
            request.model_version, tuple(inputs), None if outputs is None else tuple(outputs)
        )

    @property
    def size(self) -> int:
        """Of the contents in binary form, in bytes."""
        return sum(known.size for known in self.inputs)

    def read_binary(self, body: Body, at: int) -> dict[str, Tensor]:
        """Return the inputs whose contents, one behind the other, begin there. What stands before them may be lost.
        Raises InferError."""
        if self.size >= _LARGE_BYTES and isinstance(body, bytearray):
            # In one block, whatever they are: of several the others are aligned by this one or copied.
            at = align(body, at, self.size, self.inputs[0].datatype.item_bytes)
        inputs = {}
        for each in self.inputs:
            inputs[each.name] = each.read_binary(body, at)
            at += each.size
        return inputs

    def with_inputs(self, inputs: dict[str, Tensor]) -> InferRequest:
        outputs = self.outputs
        return InferRequest(
            "", self.version, NO_PARAMETERS, inputs, None if outputs is None else list(outputs)
        )


class TextCut(NamedTuple):
    """A JSON text without the first list that is a member `data`: the rest, and the places of the list."""

    rest: bytes
    start: int
    end: int


def cut_text(body: Body) -> TextCut | None:
    """Return a text cut; None where it has no such list, or is too long for others to say the same."""
    size = len(body)
    if size >= CUT_FROM_BYTES:
        return None
    start, end = find_list(body, size)
    if not end or size - (end - start) > MOST_KNOWN_BYTES:
        return None
    return TextCut(bytes(body[:start] + body[end:]), start, end)


def is_only_input(cut: TextCut) -> bool:
    """Return whether the list that was cut out are the contents of a request's only input: then any other list in its
    place would be."""
    rest, start, _ = cut
    try:
        document = orjson.loads(b'%b"%b"%b' % (rest[:start], _MARK.encode(), rest[start:]))
        (members,) = document["inputs"]
        return bool(members["data"] == _MARK)
    except (ValueError, TypeError, KeyError):
        return False
