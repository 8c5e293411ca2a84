"""Parts of an answer before its end."""

from __future__ import annotations

from typing import Any

from mms.interfaces.absent_name import AbsentName
from mms.interfaces.torchserve.sent_values import part_of

_PROTOCOL = "workers of this server speak another protocol"
create_predict_response = AbsentName("ts.protocol.create_predict_response", _PROTOCOL)
retrieve_msg = AbsentName("ts.protocol.retrieve_msg", _PROTOCOL)
encode_response_headers = AbsentName("ts.protocol.encode_response_headers", _PROTOCOL)
create_load_model_response = AbsentName("ts.protocol.create_load_model_response", _PROTOCOL)


def send_intermediate_predict_response(
    ret: Any, req_id_map: dict[int, str], message: str, code: int, context: Any
) -> None:
    """Send a part of the answer of each request: `ret` by its place in the batch. What `handle` returns comes last.

    `message` and `code` have no effect, as in TorchServe: the status is the one that the context has.
    """
    with context._together():
        for place in req_id_map:
            context.send_chunk(part_of(ret[place]), place)
