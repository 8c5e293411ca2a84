"""The implementations that need no model: a constant model and an element-wise mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mms.errors import InternalServerError
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF, Message, dumps, parse, read_protobuf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mms.interfaces.seldon.codec.payload import Incoming

#: What Seldon's former engine answered for SIMPLE_MODEL; tests of graphs know it.
_CLASSES: Final = ("class0", "class1", "class2")
_VALUES: Final = (0.1, 0.9, 0.5)
_SHAPE: Final = (1, 3)


def simple_model(message: Message) -> Message:
    """A constant reply, with the meta of what was asked."""
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
    """The element-wise mean, in the form and with the names of the first reply; meta merged as a combiner does.

    Raises InternalServerError for replies without numbers, or of unequal shape.
    """
    from mms.interfaces.seldon.codec import payload
    from mms.interfaces.seldon.codec.forms import column_names

    if replies[0].is_protobuf:
        from mms.interfaces.seldon.codec.messages import SeldonMessage

        decoded = [payload.decode_proto(read_protobuf(SeldonMessage, r.body)) for r in replies]
    else:
        decoded = [payload.decode_json(parse(reply)) for reply in replies]
    mean = _mean(node, [incoming.value for incoming in decoded])
    first = decoded[0]
    names = None if first.names is None else column_names(first.names)
    meta = _merged_meta(decoded)
    if replies[0].is_protobuf:
        answer = payload.encode_proto(mean, first.form, lambda: names, meta)
        return Message(answer.SerializeToString(), PROTOBUF)
    document = payload.encode_json(mean, first.form, lambda: names, meta)
    return Message(payload.dump_json(document), JSON)


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
    """Later tags and paths win, metrics are joined, the first puid counts."""
    merged: dict[str, Any] = {}
    for incoming in decoded:
        meta = incoming.meta or {}
        for member in ("tags", "requestPath"):
            if meta.get(member):
                merged.setdefault(member, {}).update(meta[member])
        if meta.get("metrics"):
            merged.setdefault("metrics", []).extend(meta["metrics"])
        if meta.get("puid"):
            merged.setdefault("puid", meta["puid"])
    return merged
