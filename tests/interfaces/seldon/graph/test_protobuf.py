"""Messages of gRPC: joined and given their routing as bytes, read with Seldon's own message classes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.errors import BadRequest, InternalServerError
from mms.interfaces.seldon.codec.messages import Feedback, SeldonMessage, SeldonMessageList
from mms.interfaces.seldon.graph import Graph, Message, Step, read_graph, run_feedback
from mms.interfaces.seldon.graph.message import (
    JSON,
    PROTOBUF,
    chosen_branch,
    feedback_routing,
    join,
    with_routing,
)
from mms.interfaces.seldon.graph.transcode import reply_in_form_of, to_json, to_protobuf


def packed(found: Any) -> Message:
    return Message(found.SerializeToString(), PROTOBUF)


def text(value: str) -> Any:
    return SeldonMessage(strData=value)


def test_replies_are_joined_into_a_list() -> None:
    joined = SeldonMessageList.FromString(join([packed(text("a")), packed(text("b" * 300))]).body)
    assert [m.strData for m in joined.seldonMessages] == ["a", "b" * 300]


def test_routing_is_merged_into_the_meta_of_a_reply() -> None:
    reply = text("a")
    reply.meta.puid = "p"
    reply.meta.routing["inner"] = 3
    merged = SeldonMessage.FromString(
        with_routing(packed(reply), {"r": 1, "none": -2, "ä": -1}).body
    )
    assert merged.strData == "a"
    assert merged.meta.puid == "p"
    assert dict(merged.meta.routing) == {"inner": 3, "r": 1, "none": -2, "ä": -1}


def test_a_router_may_reply_in_any_form_with_a_number() -> None:
    tensor, nested, flat, truth, tf = (SeldonMessage() for _ in range(5))
    tensor.data.tensor.values.append(1.0)
    nested.data.ndarray.append([2.0])
    flat.data.ndarray.append(-1.0)
    truth.data.ndarray.append([True])
    tf.data.tftensor.int_val.append(4)
    branches = [chosen_branch(packed(m), "r") for m in (tensor, nested, flat, truth, tf)]
    assert branches == [1, 2, -1, 1, 4]


@pytest.mark.parametrize("body", [SeldonMessage(strData="1").SerializeToString(), b"\xff\xff"])
def test_a_route_reply_without_a_number_names_the_node(body: bytes) -> None:
    with pytest.raises(InternalServerError, match="Node r must choose a branch"):
        chosen_branch(Message(body, PROTOBUF), "r")


def test_routing_of_a_feedback_is_read() -> None:
    feedback = Feedback(reward=1.0)
    feedback.response.meta.routing["r"] = 1
    assert feedback_routing(packed(feedback)) == {"r": 1}
    with pytest.raises(BadRequest, match="not a Feedback"):
        feedback_routing(Message(b"\xff\xff", PROTOBUF))


async def test_feedback_that_no_root_answers_gets_an_empty_message() -> None:
    async def call(*_: Any) -> Message:
        raise AssertionError("nobody was to be called")

    tree = _graph({"name": "c", "implementation": "AVERAGE_COMBINER", "children": [_SIMPLE]})
    reply = await run_feedback(tree, packed(Feedback(reward=1.0)), call)
    assert SeldonMessage.FromString(reply.body) == SeldonMessage()


_SIMPLE = {"name": "m", "implementation": "SIMPLE_MODEL"}


def _graph(document: object) -> Graph:
    return read_graph(json.dumps(document).encode())


# Between a client and a remote node that speak differently


def test_json_becomes_protobuf_and_back() -> None:
    asked = Message(b'{"data":{"names":["a"],"tensor":{"shape":[1,1],"values":[2.5]}}}', JSON)
    found = SeldonMessage.FromString(to_protobuf(asked, Step.PREDICT).body)
    assert list(found.data.tensor.values) == [2.5]
    assert json.loads(to_json(packed(found), Step.PREDICT).body) == json.loads(asked.body)


def test_lists_and_feedback_have_their_own_messages() -> None:
    listed = to_protobuf(Message(b'[{"strData":"a"}]', JSON), Step.AGGREGATE)
    assert SeldonMessageList.FromString(listed.body).seldonMessages[0].strData == "a"
    fed = to_protobuf(Message(b'{"reward":0.5}', JSON), Step.SEND_FEEDBACK)
    assert Feedback.FromString(fed.body).reward == 0.5


def test_a_reply_takes_the_form_of_what_was_asked() -> None:
    json_reply = Message(b'{"strData":"a"}', JSON, headers=b"x: y\r\n")
    found = reply_in_form_of(packed(text("x")), json_reply)
    assert SeldonMessage.FromString(found.body).strData == "a"
    back = reply_in_form_of(Message(b"{}", JSON), packed(text("a")))
    assert json.loads(back.body) == {"strData": "a"}
    assert reply_in_form_of(json_reply, json_reply) is json_reply


def test_what_is_no_message_is_the_clients_fault_or_the_nodes() -> None:
    with pytest.raises(BadRequest, match="not one of Seldon's"):
        to_protobuf(Message(b'{"foo":1}', JSON), Step.PREDICT)
    with pytest.raises(BadRequest, match="not a SeldonMessage"):
        to_json(Message(b"\xff\xff", PROTOBUF), Step.PREDICT)
    with pytest.raises(InternalServerError, match="reply cannot be read"):
        reply_in_form_of(packed(text("x")), Message(b'{"foo":1}', JSON))
