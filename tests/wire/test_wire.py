"""The codec between front and worker: what goes in comes out, however it is cut; what is no frame is refused."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.batches import WithHead, encode_batch

from mms.interfaces.mlrun.load import ServingLoad
from mms.machine.memory import resident_bytes
from mms.wire import (
    BATCH,
    BODY,
    CODED,
    FAILED,
    HEARTBEAT,
    LAST,
    PASSES_QUERY,
    RESULT,
    SUCCEEDED,
    FrameDecoder,
    GraphNode,
    Hello,
    Load,
    Loaded,
    Metric,
    ModelOperation,
    ProtocolError,
    Readiness,
    RecordOptions,
    UrlRules,
    coding_of,
    decode_batch,
    decode_result,
    encode_batches,
    encode_frame,
    encode_result,
)
from mms.wire.calls import Call
from mms.wire.frames import ATTACHMENT_BYTES, HEADER, VERSION

LIMIT = 1 << 24


@dataclass
class Sent(WithHead):
    id: bytes = b"i" * 36
    passes_query: bool = False
    content_type: bytes = b""
    query: bytes = b""
    headers: bytes = b""
    body: bytes = b""
    deadline: float = 0.0
    operation: ModelOperation | None = None


def read(stream: bytes, cut: int, decoder: FrameDecoder | None = None):
    decoder = decoder or FrameDecoder(LIMIT)
    frames = []
    at = 0
    while at < len(stream):
        buffer = decoder.get_buffer()
        size = min(cut, len(buffer), len(stream) - at)
        buffer[:size] = stream[at : at + size]
        at += size
        frames += decoder.received(size)
    return frames, decoder


bodies = st.one_of(
    st.binary(max_size=300),
    st.integers(ATTACHMENT_BYTES - 2, ATTACHMENT_BYTES + 70000).map(lambda n: b"\xa5" * n),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
nodes = st.builds(GraphNode, texts, texts, texts, texts, texts)
operations = st.builds(ModelOperation, texts, texts, texts, nodes)
sent = st.builds(
    Sent,
    id=st.text("0123456789abcdef-", min_size=1, max_size=36).map(str.encode),
    passes_query=st.booleans(),
    content_type=st.binary(max_size=30),
    query=st.binary(max_size=30),
    headers=st.binary(max_size=60),
    body=bodies,
    operation=st.none() | operations,
)


@settings(deadline=None)
@given(st.lists(sent, min_size=1, max_size=4), st.sampled_from([1, 7, 997, 65536, 1 << 20]))
def test_a_batch_arrives_as_it_was_sent_however_the_stream_is_cut(requests, cut):
    if cut < 100 and sum(len(r.body) for r in requests) > 5000:
        cut = 4099
    stream = b"".join(encode_batch(9, requests, 0.0))
    frames, decoder = read(stream, cut)
    [(kind, sequence, payload, attachments)] = frames
    assert (kind, sequence) == (BATCH, 9)
    items = decode_batch(payload, attachments)
    assert [
        (i[0], bool(i[1] & PASSES_QUERY), bytes(i[2]), bytes(i[3]), bytes(i[4]), bytes(i[6]), i[7])
        for i in items
    ] == [
        (r.id, r.passes_query, r.content_type, r.query, r.headers, r.body, r.operation)
        for r in requests
    ]


@settings(deadline=None)
@given(st.lists(st.lists(sent, min_size=1, max_size=3), min_size=1, max_size=4))
def test_batches_of_one_write_arrive_as_a_frame_each(batches):
    numbered = [SimpleNamespace(sequence=n, requests=batch) for n, batch in enumerate(batches)]
    frames, _ = read(b"".join(encode_batches(numbered, 0.0)), 65536)
    assert [frame[1] for frame in frames] == list(range(len(batches)))
    assert [[bytes(item[6]) for item in decode_batch(*frame[2:])] for frame in frames] == [
        [request.body for request in batch] for batch in batches
    ]


def test_small_batches_of_one_write_are_one_buffer():
    batches = [SimpleNamespace(sequence=n, requests=[Sent(body=b"x")]) for n in range(3)]
    assert len(encode_batches(batches, 0.0)) == 1


results = st.tuples(
    st.integers(0, 31),
    st.sampled_from([0, FAILED]),
    st.integers(0, 999),
    st.binary(max_size=20),
    st.binary(max_size=60),
    bodies,
)


@settings(deadline=None)
@given(st.lists(results, max_size=4), st.integers(0, 1 << 60))
def test_a_result_arrives_as_it_was_sent(items, took_ns):
    buffers = encode_result(3, LAST | SUCCEEDED, took_ns, items, len(items))
    [(kind, sequence, payload, attachments)], _ = read(b"".join(buffers), 65536)
    assert (kind, sequence) == (RESULT, 3)
    flags, decoded_ns, decoded = decode_result(payload, attachments)
    assert (flags, decoded_ns) == (LAST | SUCCEEDED, took_ns)
    assert [(*d[:5], bytes(d[5])) for d in decoded] == [
        (i[0], d[1], *i[2:]) for i, d in zip(items, decoded, strict=True)
    ]
    assert [bool(d[1] & FAILED) for d in decoded] == [bool(i[1] & FAILED) for i in items]


@given(st.lists(results, max_size=2), st.tuples(*[st.integers(0, 1 << 63)] * 2))
def test_a_result_may_tell_how_long_tensors_took_to_read_and_to_write(items, coding_ns):
    buffers = encode_result(3, LAST, 5, items, len(items), coding_ns)
    [(_, _, payload, attachments)], _ = read(b"".join(buffers), 65536)
    flags, took_ns, decoded = decode_result(payload, attachments)
    assert (flags, took_ns, len(decoded)) == (LAST | CODED, 5, len(items))
    assert coding_of(payload) == coding_ns


def test_a_large_body_is_not_copied_when_it_is_sent():
    body = b"z" * (2 * ATTACHMENT_BYTES)
    buffers = encode_batch(0, [Sent(body=body)], 0.0)
    assert any(buffer is body for buffer in buffers)


def test_a_large_body_arrives_in_a_bytearray_of_its_own():
    body = b"z" * (2 * ATTACHMENT_BYTES)
    [(_, _, payload, attachments)], _ = read(
        b"".join(encode_batch(0, [Sent(body=body)], 0.0)), 65536
    )
    received = decode_batch(payload, attachments)[0][6]
    assert isinstance(received, bytearray)
    received += b"grows"


def test_a_deadline_travels_as_the_time_that_is_left():
    [(_, _, payload, attachments)], _ = read(
        b"".join(encode_batch(0, [Sent(deadline=12.5), Sent()], 10.0)), 65536
    )
    assert [item[5] for item in decode_batch(payload, attachments)] == [2500, 0]


def test_a_deadline_too_far_away_for_its_field_travels_as_the_furthest_that_fits():
    far = Sent(deadline=10.0 + 2**32 / 1000)
    [(_, _, payload, attachments)], _ = read(
        b"".join(encode_batch(0, [far, Sent(deadline=1e300)], 10.0)), 65536
    )
    assert [item[5] for item in decode_batch(payload, attachments)] == [0xFFFFFFFF] * 2


def test_frames_of_one_read_come_together():
    stream = encode_frame(HEARTBEAT, 1) + encode_frame(HEARTBEAT, 2, b"x")
    frames, _ = read(stream, 65536)
    assert [(f[1], f[2]) for f in frames] == [(1, b""), (2, b"x")]


def test_another_version_is_refused():
    with pytest.raises(ProtocolError, match="version"):
        read(HEADER.pack(VERSION + 1, HEARTBEAT, 0, 0, 0), 65536)


def test_a_frame_over_the_limit_is_refused_before_it_is_allocated():
    with pytest.raises(ProtocolError, match="limit"):
        read(HEADER.pack(VERSION, BATCH, 0, 0, 1 << 60), 65536)


@pytest.mark.parametrize("size", [ATTACHMENT_BYTES, 100_000])
def test_attachments_count_towards_the_limit_of_their_frame(size):
    decoder = FrameDecoder(10 * size)
    stream = HEADER.pack(VERSION, RESULT, 11, 1, size) + b"p" * size
    body = HEADER.pack(VERSION, BODY, 0, 1, size) + b"b" * size
    for _ in range(9):
        stream += body
    assert read(stream, len(stream), decoder)[0] == []
    with pytest.raises(ProtocolError, match=f"{10 * size}"):
        read(body, len(body), decoder)


def test_an_attachment_that_is_small_enough_for_the_frame_itself_is_refused():
    frame = HEADER.pack(VERSION, RESULT, 1, 7, 0) + HEADER.pack(VERSION, BODY, 0, 7, 1) + b"x"
    with pytest.raises(ProtocolError, match="too small"):
        read(frame, 65536)


def test_a_result_of_more_items_than_were_asked_for_is_refused():
    item = (0, 0, 200, b"", b"", b"")
    (frame,) = encode_result(1, LAST, 0, [item] * 3, 3)
    payload = bytes(frame)[HEADER.size :]
    assert len(decode_result(payload, [], 3)[2]) == 3
    with pytest.raises(ProtocolError, match="3 items where 2 are most"):
        decode_result(payload, [], 2)


def test_a_body_that_nothing_announced_is_refused():
    with pytest.raises(ProtocolError):
        read(encode_frame(BODY, 0, b"x"), 65536)


def test_another_frame_where_a_body_was_announced_is_refused():
    with pytest.raises(ProtocolError):
        read(HEADER.pack(VERSION, BATCH, 1, 0, 0) + encode_frame(HEARTBEAT, 0), 65536)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_payload_makes_the_decoders_raise_anything_else(payload):
    for decode in (decode_batch, decode_result):
        try:
            decode(payload, [])
        except ProtocolError:
            pass


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(1, 64))
def test_no_stream_makes_the_frame_decoder_raise_anything_else(stream, cut):
    try:
        read(stream, cut, FrameDecoder(1000))
    except ProtocolError:
        pass


@pytest.mark.parametrize("at", range(len(struct.pack("!IBQ", 0, 0, 0))))
def test_a_result_cut_short_is_refused(at):
    payload = struct.pack("!IBQ", 1, LAST, 0)[:at]
    with pytest.raises(ProtocolError):
        decode_result(payload, [])


def test_a_message_with_unknown_members_is_read():
    hello = Hello.from_payload(b'{"secret": "s", "of_the_future": 1}')
    assert hello == Hello("s")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"\xff", b"3", b"[" * 100_000])
def test_what_is_no_message_is_refused(payload):
    with pytest.raises(ProtocolError):
        Hello.from_payload(payload)


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (Hello, {"secret": 5}),
        (Hello, {"secret": "s", "runtime": 3}),
        (Loaded, {"code": "200"}),
        (Loaded, {"code": True}),
        (Loaded, {"code": 200, "load_s": "1"}),
        (Metric, {"lines": "text"}),
        (Metric, {"lines": [1]}),
        (Metric, {"lines": [], "series": ["x"]}),
        (Readiness, {"is_ready": "no"}),
        (Call, {"key": "k", "headers": [["a", 1]]}),
        (Call, {"key": "k", "timeout_s": "soon"}),
    ],
)
def test_a_message_whose_members_are_of_other_types_is_refused(kind, members):
    with pytest.raises(ProtocolError, match="another type"):
        kind.from_payload(json.dumps(members).encode())


def test_a_load_arrives_with_its_records_its_rules_and_the_part_of_an_interface() -> None:
    part = ServingLoad(data_url=UrlRules(["https://.*"]), class_args={"a": 1})
    load = Load("m", None, "/m", "h:f", records=RecordOptions("/r", 2), url_rules=UrlRules())
    load.of_interfaces["mlrun"] = part
    received = Load.from_payload(load.to_payload())
    assert received.part("mlrun", ServingLoad) == part
    assert received.part("another", ServingLoad) == ServingLoad()
    assert (received.records, received.url_rules) == (load.records, load.url_rules)


@pytest.mark.parametrize(
    "members",
    [
        {"records": 1},
        {"records": {"sample": "2"}},
        {"url_rules": {"allowed_urls": "https://x"}},
        {"of_interfaces": []},
    ],
)
def test_a_load_whose_parts_are_of_another_type_is_refused(members: dict[str, object]) -> None:
    usual = {"model_name": "m", "model_version": None, "model_dir": "/m", "handler": "h"}
    with pytest.raises(ProtocolError, match="not a Load message"):
        Load.from_payload(json.dumps(usual | members).encode())


def test_a_connection_takes_no_memory_for_large_frames_before_one_comes() -> None:
    before = resident_bytes(os.getpid())
    decoders = [FrameDecoder(1 << 30) for _ in range(300)]
    grown = resident_bytes(os.getpid()) - before
    assert grown < len(decoders) * len(decoders[0].get_buffer()) // 8
