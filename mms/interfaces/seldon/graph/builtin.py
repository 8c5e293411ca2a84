"""The implementations that need no model: a constant model and an element-wise mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mms.errors import InternalServerError
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF, Message, dumps, parse, read_protobuf
from mms.interfaces.seldon.meta import merged_meta

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mms.interfaces.seldon.codec.forms import Incoming

#: What Seldon's former engine answered for SIMPLE_MODEL; tests of graphs know it.
_CLASSES: Final = ("class0", "class1", "class2")
_VALUES: Final = (0.1, 0.9, 0.5)
_SHAPE: Final = (1, 3)


def simple_model(message: Message) -> Message:
    """Return a constant reply, with the meta of what was asked."""
    if message.is_protobuf:
        from mms.interfaces.seldon.codec.messages import SeldonMessage

        asked = read_protobuf(SeldonMessage, message.body)
        reply = SeldonMessage()
        reply.meta.CopyFrom(asked.meta)
        reply.data.names.extend(_CLASSES)
        reply.data.tensor.shape.extend(_SHAPE)
        reply.data.tensor.values.extend(_VALUES)
        return Message(reply.SerializeToString(), PROTOBUF)
    found = parse(message)
    meta = found.get("meta") if isinstance(found, dict) else None
    tensor = {"shape": _SHAPE, "values": _VALUES}
    document = {"meta": meta or {}, "data": {"names": _CLASSES, "tensor": tensor}}
    return Message(dumps(document), JSON)


def average(node: str, replies: Sequence[Message]) -> Message:
    """Return the element-wise mean, in the form and with the names of the first reply; meta merged as a combiner does.

    Raises InternalServerError for replies without numbers, or of unequal shape.
    """
    from mms.text.column_names import column_names

    if replies[0].is_protobuf:
        from mms.interfaces.seldon.codec.messages import SeldonMessage
        from mms.interfaces.seldon.codec.proto_payload import decode_proto, encode_proto_bytes

        decoded = [decode_proto(read_protobuf(SeldonMessage, r.body)) for r in replies]
    else:
        from mms.interfaces.seldon.codec.json_decoding import decode_json
        from mms.interfaces.seldon.codec.json_encoding import encode_json
        from mms.interfaces.seldon.codec.json_text import dump_json

        decoded = [decode_json(parse(reply)) for reply in replies]
    mean = _mean(node, [incoming.value for incoming in decoded])
    first = decoded[0]
    names = None if first.names is None else column_names(first.names)
    meta = _merged_meta(decoded)
    if replies[0].is_protobuf:
        return Message(encode_proto_bytes(mean, first.form, lambda: names, meta), PROTOBUF)
    return Message(dump_json(encode_json(mean, first.form, lambda: names, meta)), JSON)


def _mean(node: str, values: Sequence[Any]) -> NDArray[np.float64]:
    import numpy as np

    arrays = [np.asarray(value) for value in values]
    for array in arrays:
        if array.dtype.kind not in "iufb":
            raise InternalServerError(
                f"Node {node} averages numbers, but a reply holds {array.dtype} values."
            )
        if array.shape != arrays[0].shape:
            shapes = ", ".join(str(other.shape) for other in arrays)
            raise InternalServerError(
                f"Node {node} averages replies of equal shape, but they are {shapes}."
            )
    mean: NDArray[np.float64] = np.mean(arrays, axis=0, dtype=np.float64)
    return mean


def _merged_meta(decoded: Sequence[Incoming]) -> dict[str, Any]:
    """Return the meta as a combiner merges it; the first puid counts, and what is empty is left out."""
    found = merged_meta(incoming.meta for incoming in decoded)
    found["puid"] = next((incoming.puid for incoming in decoded if incoming.puid), None)
    return {member: value for member, value in found.items() if value}
