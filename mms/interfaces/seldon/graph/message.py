"""The bytes that pass between nodes: what of them is read, and what is put into them, without parsing the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from mms.bodies.large_json import read_in_pieces
from mms.bodies.protobuf_wire import field, varint
from mms.core.request import Buffer
from mms.errors import BadRequest, InternalServerError, WorkerFailure
from mms.text.brief import brief

JSON: Final = b"application/json"
PROTOBUF: Final = b"application/x-protobuf"

#: Field numbers of seldon.protos: SeldonMessageList.seldonMessages, SeldonMessage.meta, Meta.routing, and the key and
#: value of a map's entry. Wire type 2 is a length and bytes, 0 a varint.
_LIST_ITEM: Final = 1 << 3 | 2
_META: Final = 2 << 3 | 2
_ROUTING: Final = 3 << 3 | 2
_ENTRY_KEY: Final = 1 << 3 | 2
_ENTRY_VALUE: Final = 2 << 3 | 0

_META_FIRST: Final = b'{"meta":{'
_META_KEY: Final = b'"meta":{'
_decoder: Final = json.JSONDecoder()


class Message(NamedTuple):
    """A SeldonMessage on its way. `is_raw`: as the client sent it, so the rules for HTTP bodies apply to it.

    `status`, `phrase` and `headers` (finished lines) are those of a node's reply.
    """

    body: Buffer
    content_type: bytes
    query: bytes = b""
    is_raw: bool = False
    status: int = 200
    phrase: bytes = b"OK"
    headers: bytes = b""

    @property
    def is_protobuf(self) -> bool:
        return self.content_type.startswith(PROTOBUF)


def parse(message: Message) -> Any:
    """Return the JSON of a message. Raises ValueError for a node's, WorkerFailure for a client's that has none."""
    if not message.is_raw:
        return loads(message.body)
    from mms.interfaces.seldon.codec.body import read_json_body
    from mms.interfaces.seldon.errors import error_answer

    try:
        document = read_json_body(message.content_type, message.query, message.body, load=loads)
    except Exception as error:
        # What the rules for bodies raise knows its status and reason; a failed parser's is told by the same function.
        found = error_answer(error)
        raise WorkerFailure(found.message, found.status, found.reason) from error
    if isinstance(document, dict):
        # A file of a form is base64 already, as bytes.
        return {k: str(v, "ascii") if isinstance(v, bytes) else v for k, v in document.items()}
    return document


def loads(body: Buffer) -> Any:
    """JSON, with the NaN and the long integers that components send. Raises ValueError."""
    from mms.interfaces.seldon.codec.json_text import load_json

    return read_in_pieces(body, load_json)


def read_protobuf(message_class: Any, body: Buffer) -> Any:
    """Read a message of protobuf. Raises BadRequest for bytes that are no such message."""
    from google.protobuf.message import DecodeError

    try:
        return message_class.FromString(bytes(body))
    except DecodeError as error:
        raise BadRequest(f"The body is not a {message_class.DESCRIPTOR.name}: {error}") from None


def dumps(document: Any) -> bytes:
    """Compact JSON with sorted keys and a line end, as components' replies have it."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def _dumps_document(document: Any) -> bytes:
    """Write what may be large: `json` would hold up other threads for as long as it writes."""
    from mms.interfaces.seldon.codec.json_text import dump_json

    return dump_json(document, strict=True)


def join(messages: Sequence[Message]) -> Message:
    """Return the SeldonMessageList of these messages, for an aggregate call."""
    if messages[0].is_protobuf:
        return Message(b"".join(field(_LIST_ITEM, m.body) for m in messages), PROTOBUF)
    # What a client sent may be a form, or no JSON at all; what a node replied is JSON.
    bodies = [_dumps_document(parse(m)) if m.is_raw else m.body for m in messages]
    return Message(b"".join((b'{"seldonMessages":[', b",".join(bodies), b"]}")), JSON)


# Replies of routers


def chosen_branch(message: Message, node: str) -> int:
    """Return the first number of a route reply. Raises InternalServerError for one without a number."""
    try:
        number = _branch_of_protobuf(message.body) if message.is_protobuf else _branch(message.body)
        return int(number)
    except (BadRequest, ValueError, TypeError, LookupError, OverflowError):
        shown = bytes(message.body[:200])
        raise InternalServerError(
            f"Node {node} must choose a branch, but its reply has no number: {brief(shown)}"
        ) from None


def _branch(body: Buffer) -> Any:
    document = loads(body)
    if isinstance(document, dict):
        data = document["data"]
        if "ndarray" in data:
            document = data["ndarray"]
        elif "tensor" in data:
            document = data["tensor"]["values"]
        else:
            tensor = data["tftensor"]
            document = tensor.get("intVal") or tensor.get("int_val") or tensor["int64Val"]
    while isinstance(document, list):
        document = document[0]
    if isinstance(document, bool):
        # A component may route by True and False.
        return int(document)
    return document


def _branch_of_protobuf(body: Buffer) -> Any:
    from mms.interfaces.seldon.codec.messages import SeldonMessage

    data = read_protobuf(SeldonMessage, body).data
    form = data.WhichOneof("data_oneof")
    if form == "tensor":
        return data.tensor.values[0]
    if form == "ndarray":
        value = data.ndarray.values[0]
        while value.WhichOneof("kind") == "list_value":
            value = value.list_value.values[0]
        return value.bool_value if value.WhichOneof("kind") == "bool_value" else value.number_value
    tensor = data.tftensor
    return tensor.int_val[0] if tensor.int_val else tensor.int64_val[0]


# Routing


def feedback_routing(message: Message) -> dict[str, int]:
    """Return `response.meta.routing` of a Feedback; what cannot be understood as such counts as absent."""
    if message.is_protobuf:
        from mms.interfaces.seldon.codec.messages import Feedback

        feedback = read_protobuf(Feedback, message.body)
        return dict(feedback.response.meta.routing)
    found = parse(message)
    for member in ("response", "meta", "routing"):
        found = found.get(member) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return {}
    return {str(name): branch for name, branch in found.items() if type(branch) is int}


def feedback_reward(message: Message) -> Any:
    """Return the reward of a Feedback, 0 where it has none."""
    if message.is_protobuf:
        from mms.interfaces.seldon.codec.messages import Feedback

        return read_protobuf(Feedback, message.body).reward
    found = parse(message)
    return found.get("reward", 0) if isinstance(found, dict) else 0


def with_routing(message: Message, routing: Mapping[str, int]) -> Message:
    """Return a final reply with `meta.routing` in it. A reply that is no JSON object stays as it is."""
    if not routing:
        return message
    if message.is_protobuf:
        return message._replace(body=bytes(message.body) + _routing_field(routing))
    if message.is_raw:
        message = Message(_dumps_document(parse(message)), JSON)
    body = bytes(message.body)
    return message._replace(body=_spliced(body, routing) or _merged(body, routing))


def _spliced(body: bytes, routing: Mapping[str, int]) -> bytes | None:
    """Return the body with a new `meta`, else untouched; None where `meta` is neither the first nor the last member."""
    try:
        if body.startswith(_META_FIRST):
            start = len(_META_FIRST) - 1
            meta, end = _object_at(body, start)
        else:
            # Within a text the quotes would be escaped, so this is a key wherever it is found.
            start = body.rfind(_META_KEY) + len(_META_KEY) - 1
            if start < len(_META_KEY):
                return None
            meta, end = _object_at(body, start)
            # One brace alone can only be the document's own.
            if body[end:].strip() != b"}":
                return None
    except ValueError:
        return None
    return b"".join((body[:start], _object_with(meta, routing), body[end:]))


def _object_at(body: bytes, start: int) -> tuple[dict[str, Any], int]:
    """Return the object that begins at `start`, and where it ends. Raises ValueError."""
    size = 1024
    while True:
        # A meta is small: what lies behind it need not be decoded to find its end.
        piece = body[start : start + size].decode("utf-8", "surrogateescape")
        try:
            meta, length = _decoder.raw_decode(piece)
        except ValueError:
            if start + size >= len(body):
                raise
            size *= 8
        else:
            return meta, start + len(piece[:length].encode("utf-8", "surrogateescape"))


def _object_with(meta: dict[str, Any], routing: Mapping[str, int]) -> bytes:
    present = meta.get("routing")
    meta["routing"] = {**present, **routing} if isinstance(present, dict) else dict(routing)
    return dumps(meta)[:-1]


def _merged(body: bytes, routing: Mapping[str, int]) -> bytes:
    try:
        document = loads(body)
    except ValueError:
        return body
    if not isinstance(document, dict):
        return body
    meta = document.get("meta")
    meta = dict(meta) if isinstance(meta, dict) else {}
    document["meta"] = json.loads(_object_with(meta, routing))
    return _dumps_document(document)


def _routing_field(routing: Mapping[str, int]) -> bytes:
    """Return a SeldonMessage of nothing but this routing: behind another one it is merged into it."""
    entries = [
        # Negative numbers are 64 bits wide on the wire.
        field(_ENTRY_KEY, name.encode())
        + bytes((_ENTRY_VALUE,))
        + varint(branch & 0xFFFFFFFFFFFFFFFF)
        for name, branch in routing.items()
    ]
    return field(_META, *(field(_ROUTING, entry) for entry in entries))
