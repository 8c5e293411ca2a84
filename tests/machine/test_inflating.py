"""Compressed bodies: what is read, what is refused, and that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.bodies.inflation import RATIO_FROM_BYTES, BrokenCoding, InflatesTooFar, Inflation
from mms.errors import ServiceUnavailable
from mms.limits.inflating import SMALL_BYTES, Inflater

ANY_BYTES = 1 << 30


def packed(bits: int) -> Callable[[bytes], bytes]:
    def pack(plain: bytes) -> bytes:
        packer = zlib.compressobj(wbits=bits)
        return packer.compress(plain) + packer.flush()

    return pack


PACK = {b"gzip": packed(31), b"deflate": packed(15)}
CODING = st.sampled_from(sorted(PACK))


def inflated(coding: bytes, data: bytes, max_bytes: int = ANY_BYTES, max_ratio: float = 0) -> bytes:
    inflation = Inflation(coding, data, max_bytes, max_ratio)
    inflation.finish()
    return bytes(inflation.result)


def nothing() -> None:
    """The body is wanted."""


@given(CODING, st.binary(max_size=200), st.integers(1, 3000), st.integers(1, 5000))
def test_a_body_is_the_same_in_whatever_pieces_it_is_unfolded(
    coding: bytes, word: bytes, count: int, step: int
) -> None:
    plain = word * count
    inflation = Inflation(coding, PACK[coding](plain), ANY_BYTES, 0)
    while not inflation.advance(step):
        assert len(inflation.result) <= len(plain)
    assert inflation.result == plain


def test_deflate_without_its_head_is_read_as_some_clients_send_it() -> None:
    assert inflated(b"deflate", packed(-15)(b"abc" * 1000)) == b"abc" * 1000


def test_streams_of_gzip_one_behind_the_other_are_one_body() -> None:
    assert inflated(b"gzip", gzip.compress(b"a") + gzip.compress(b"b" * 100_000)) == (
        b"a" + b"b" * 100_000
    )


@pytest.mark.parametrize("coding", sorted(PACK))
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-1], "breaks off"),
        (lambda data: data[:1], "breaks off"),
        (lambda data: b"", "breaks off"),
        (lambda data: b"{}" + data, "cannot be read"),
        (lambda data: data + b"x", "its end|cannot be read|breaks off"),
    ],
)
def test_a_damaged_body_is_refused_with_the_reason(
    coding: bytes, damage: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(BrokenCoding, match=reason):
        inflated(coding, damage(PACK[coding](b"abc" * 1000)))


def test_thousands_of_empty_streams_are_refused() -> None:
    with pytest.raises(BrokenCoding, match="its end"):
        inflated(b"gzip", gzip.compress(b"") * 2000)


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_body_over_its_limit_is_refused_and_little_more_is_unfolded(coding: bytes) -> None:
    data = PACK[coding](bytes(10_000_000))
    inflation = Inflation(coding, data, 1_000_000, 0)
    with pytest.raises(InflatesTooFar) as refused:
        inflation.finish()
    assert (refused.value.limit_bytes, refused.value.is_ratio) == (1_000_000, False)
    assert len(inflation.result) < 2_000_000
    assert len(inflated(coding, PACK[coding](bytes(1_000_000)), 1_000_000)) == 1_000_000


def test_a_body_that_grows_too_much_is_refused_and_a_short_one_may_grow_as_it_likes() -> None:
    assert inflated(b"gzip", PACK[b"gzip"](bytes(RATIO_FROM_BYTES)), max_ratio=10) == bytes(
        RATIO_FROM_BYTES
    )
    data = PACK[b"gzip"](bytes(RATIO_FROM_BYTES + 1))
    with pytest.raises(InflatesTooFar) as refused:
        inflated(b"gzip", data, max_ratio=10)
    assert refused.value.is_ratio
    assert len(inflated(b"gzip", data, max_ratio=1100)) == RATIO_FROM_BYTES + 1


@pytest.fixture
async def inflater() -> AsyncIterator[Inflater]:
    made = Inflater(0)
    yield made
    made.close()


async def test_a_small_body_is_read_at_once(inflater: Inflater) -> None:
    inflation = inflater.open(b"gzip", gzip.compress(bytes(SMALL_BYTES - 1)), ANY_BYTES)
    assert inflation.advance(SMALL_BYTES)
    assert inflation.result == bytes(SMALL_BYTES - 1)


async def test_the_loop_goes_on_while_a_large_body_is_unfolded(inflater: Inflater) -> None:
    inflation = inflater.open(b"gzip", gzip.compress(bytes(50_000_000)), ANY_BYTES)
    assert not inflation.advance(SMALL_BYTES)
    assert len(inflation.result) <= SMALL_BYTES
    finishing = asyncio.ensure_future(inflater.finish(inflation, nothing))
    turns = 0
    while not finishing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100
    assert len(finishing.result()) == 50_000_000


async def test_bodies_are_unfolded_one_after_the_other_and_asked_for_just_before(
    inflater: Inflater,
) -> None:
    """So of many that come at once those that would be refused are never unfolded."""
    data = gzip.compress(bytes(1_000_000))
    began = [inflater.open(b"gzip", data, ANY_BYTES) for _ in range(3)]

    def refuse_after_the_first() -> None:
        if len(began[0].result) == 1_000_000:
            raise ServiceUnavailable("full")

    done = await asyncio.gather(
        *(inflater.finish(inflation, refuse_after_the_first) for inflation in began),
        return_exceptions=True,
    )
    assert done[0] == bytes(1_000_000)
    assert [type(result) for result in done[1:]] == [ServiceUnavailable] * 2
    assert [len(inflation.result) for inflation in began[1:]] == [0, 0]
