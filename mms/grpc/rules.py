"""What breaks a connection of HTTP/2: frames that are wrong, and floods of frames that are right."""

from __future__ import annotations

from mms.grpc import frames

#: What asks for work in a second without being a call: pings, each setting, resets (a client's own, and those that it
#: has this server send), empty data, requests of plain HTTP. No client of good will comes near.
MAX_CONTROL_FRAMES = 5000
#: Windows opened and data sent by a few bytes, in a second: more frames than this server answers calls with.
MAX_SMALL_FRAMES = 50_000
SMALL_WINDOW_BYTES = 1024
SMALL_DATA_BYTES = 16


class Broken(Exception):
    """The client has broken HTTP/2; the connection cannot go on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class FrameCounts:
    """Frames of a connection that are no calls, in this second."""

    __slots__ = ("_control", "_small")

    def __init__(self) -> None:
        self._control = 0
        self._small = 0

    def __repr__(self) -> str:
        return f"<FrameCounts {self._control} control, {self._small} small>"

    def begin_second(self) -> None:
        self._control = self._small = 0

    def add_control(self, count: int = 1) -> None:
        """Raises Broken."""
        self._control += count
        if self._control > MAX_CONTROL_FRAMES:
            raise Broken(frames.ENHANCE_YOUR_CALM, "too_many_pings")

    def add_small(self) -> None:
        """Raises Broken."""
        self._small += 1
        if self._small > MAX_SMALL_FRAMES:
            raise Broken(frames.ENHANCE_YOUR_CALM, "too many small frames")


def check(is_right: bool, what: str) -> None:
    """Raises Broken for a frame that is not right."""
    if not is_right:
        raise Broken(frames.PROTOCOL_ERROR, f"a wrong frame: {what}")


def without_padding(payload: bytes, flags: int) -> bytes:
    """Raises Broken."""
    if not flags & frames.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(frames.PROTOCOL_ERROR, "padding")
    return payload[1 : len(payload) - payload[0]]
