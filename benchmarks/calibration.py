"""Work of the same sort as the front's, which never changes: what a machine takes for it is the unit of the gate.

It cuts bytes, packs structures, looks names up and calls methods, in about the front's mixture, so that a slow or busy
machine is slow at both alike. Change it, and all baselines have to be renewed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct

_HEAD = Struct("!BBHIQ")
_ITEM = Struct("!36sBHIIIQ")
_RAW = b"POST /calibration HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1024\r\n\r\n"
_REQUEST = _RAW + bytes(1024)
_COUNT = 64


class _Call:
    __slots__ = ("body", "id", "is_done", "name", "place", "received_at", "taken", "version")

    def __init__(self, number: int, place: _Place) -> None:
        self.id = b"%036d" % number
        self.name = "calibration"
        self.version: str | None = None
        self.body = b""
        self.place = place
        self.received_at = number * 0.001
        self.is_done = False
        self.taken = 0


class _Place:
    __slots__ = ("_calls", "_known", "_lines", "_record", "_shelf", "written")

    def __init__(self, shelf: _Shelf, record: Callable[[tuple[object, ...]], None]) -> None:
        self._shelf = shelf
        self._record = record
        self._calls: deque[_Call] = deque()
        self._known = _RAW
        self._lines: dict[int, bytes] = {}
        self.written = 0

    def take(self, data: bytes, number: int) -> None:
        if self._calls or not data.startswith(self._known):
            raise ValueError(data)
        call = _Call(number, self)
        self._calls.append(call)
        call.body = data[len(self._known) :]
        self._shelf.put(call)

    def answer(self, call: _Call, status: int, headers: bytes, body: bytes) -> None:
        calls = self._calls
        if not (status == 200 and len(calls) == 1 and calls[0] is call and len(body) < 65536):
            raise ValueError(call.id)
        size = len(body)
        end = self._lines.get(size)
        if end is None:
            end = self._lines[size] = b"content-length: %d\r\n\r\n" % size
        data = b"".join((b"HTTP/1.1 200 OK\r\nx: ", call.id, b"\r\n", headers, end, body))
        self.written += len(data)
        calls.clear()
        self._record((call.received_at, "POST", status, call.name, call.version or ""))


class _Shelf:
    __slots__ = ("_calls", "_names", "_sequence")

    def __init__(self) -> None:
        self._calls: deque[_Call] = deque()
        self._names: dict[str, dict[str | None, list[_Call]]] = {"calibration": {None: []}}
        self._sequence = 0

    def put(self, call: _Call) -> None:
        found = self._names.get(call.name)
        if found is None or call.version not in found:
            raise KeyError(call.name)
        self._calls.append(call)

    def take(self) -> list[_Call]:
        taken: list[_Call] = []
        while self._calls and len(taken) < 4:
            call = self._calls.popleft()
            if call.is_done:
                continue
            call.taken += 1
            taken.append(call)
        return taken

    def pack(self, calls: list[_Call]) -> bytes:
        self._sequence += 1
        parts = [b""]
        length = 0
        for call in calls:
            size = len(call.body)
            parts += (_ITEM.pack(call.id, 0, 0, 0, 0, 0, size), call.body)
            length += _ITEM.size + size
        parts[0] = _HEAD.pack(1, 4, 0, self._sequence, length)
        return b"".join(parts)


def calibrate() -> int:
    """Do the work once: about half a millisecond. Returns how many bytes came of it."""
    records: list[tuple[object, ...]] = []
    shelf = _Shelf()
    places = [_Place(shelf, records.append) for _ in range(_COUNT)]
    for number, place in enumerate(places):
        place.take(_REQUEST, number)
    while calls := shelf.take():
        data = shelf.pack(calls)
        _, _, _, _, length = _HEAD.unpack_from(data)
        at = _HEAD.size
        results: list[tuple[bytes, int, bytes]] = []
        while at < _HEAD.size + length:
            call_id, _, _, _, _, _, size = _ITEM.unpack_from(data, at)
            at += _ITEM.size
            results.append((call_id, 200, data[at : at + 2]))
            at += size
        for call, (call_id, status, body) in zip(calls, results, strict=True):
            if call.id == call_id and not call.is_done:
                call.is_done = True
                call.place.answer(call, status, b"content-type: text/plain\r\n", body)
    lines = [f'"{r[1]} {r[3]}" {r[2]} {int(float(str(r[0])) * 1000)}' for r in records]
    return sum(place.written for place in places) + len("\n".join(lines))
