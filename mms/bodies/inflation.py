"""Compressed bodies of HTTP, unfolded in pieces and within limits. Sans-IO."""

from __future__ import annotations

import zlib
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

#: The codings that can be read, by the names that HTTP and gRPC give them.
CODINGS = (b"gzip", b"deflate")
#: Up to here the ratio does not count, in bytes: a short body may well say the same thing over and over.
RATIO_FROM_BYTES = 1 << 20
_INPUT_BYTES = 16 * 1024
_PIECE_BYTES = 256 * 1024
#: Streams of gzip one behind the other; each costs a new decoder.
_MAX_MEMBERS = 1024
_GZIP_BITS = 31
_ZLIB_BITS = 15
_RAW_BITS = -15


class BrokenCoding(Exception):
    """The bytes are not what their coding says. The message says why."""


class InflatesTooFar(Exception):
    """A body is larger than allowed. `is_ratio`: for the few bytes that it came in."""

    def __init__(self, limit_bytes: int, *, is_ratio: bool) -> None:
        super().__init__(f"more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.is_ratio = is_ratio


class Inflation:
    """One body on its way. `result` is whole once `advance` has said so."""

    def __init__(self, coding: bytes, data: Buffer, max_bytes: int, max_ratio: float) -> None:
        """`coding`: one of CODINGS. `max_bytes`: of the result. `max_ratio`: bytes of it for each of `data`; 0: any."""
        self.result = bytearray()
        by_ratio = max(RATIO_FROM_BYTES, int(max_ratio * len(data))) if max_ratio else max_bytes
        self._is_ratio = by_ratio < max_bytes
        #: What the result can come to at most, in bytes.
        self.limit_bytes = min(max_bytes, by_ratio)
        self._data = memoryview(data)
        self._at = 0
        self._members = 1
        self._bits = _GZIP_BITS if coding == b"gzip" else _deflate_bits(data)
        self._decoder = zlib.decompressobj(self._bits)

    def __repr__(self) -> str:
        return f"<Inflation, {self._at} of {len(self._data)} bytes read>"

    def advance(self, more_bytes: int) -> bool:
        """Unfold about so many bytes more. Returns whether that was all.

        Raises BrokenCoding and InflatesTooFar.
        """
        stop = len(self.result) + more_bytes
        while not self._decoder.eof or self._begin_member():
            if len(self.result) >= stop:
                return False
            self._take_piece(min(stop - len(self.result), _PIECE_BYTES))
        return True

    def finish(self) -> None:
        """Unfold all that is left. Raises as `advance`."""
        while not self.advance(_PIECE_BYTES):
            continue

    def _take_piece(self, size: int) -> None:
        decoder = self._decoder
        piece: Buffer = decoder.unconsumed_tail
        if not piece:
            piece = self._data[self._at : self._at + _INPUT_BYTES]
            self._at += len(piece)
        try:
            unfolded = decoder.decompress(piece, size)
        except zlib.error as error:
            raise BrokenCoding(f"cannot be read: {error}") from None
        self.result += unfolded
        if len(self.result) > self.limit_bytes:
            raise InflatesTooFar(self.limit_bytes, is_ratio=self._is_ratio)
        if not unfolded and not piece and not decoder.eof:
            raise BrokenCoding("breaks off")

    def _begin_member(self) -> bool:
        """Go on behind the end of a stream. Returns False at the end of all."""
        self._at -= len(self._decoder.unused_data)
        if self._at == len(self._data):
            return False
        self._members += 1
        if self._bits != _GZIP_BITS or self._members > _MAX_MEMBERS:
            raise BrokenCoding("has more data after its end")
        self._decoder = zlib.decompressobj(self._bits)
        return True


def _deflate_bits(data: Buffer) -> int:
    """Decompress `deflate`: zlib's format (RFC 9110). Some clients leave its two bytes of head away."""
    has_head = len(data) >= 2 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
    return _ZLIB_BITS if has_head else _RAW_BITS
