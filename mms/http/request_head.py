"""How large the head of a request may be, and what both sides of the front say of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mms.errors import HeadersTooLarge, TargetTooLong

#: MMS's HTTP library takes request lines of this size, and as much of headers, counted without their line ends.
MAX_LINE_BYTES: Final = 4096
MAX_HEADERS_BYTES: Final = 8192
#: Of a head as sent: the shortest headers, `a:`, double with their line ends.
MAX_HEAD_BYTES: Final = MAX_LINE_BYTES + 2 * MAX_HEADERS_BYTES
#: What a client is told whose body does not come.
LATE_BODY: Final = "The rest of the request did not come in time."


def is_kept_alive(is_http_1_1: bool, connection: bytes) -> bool:
    """Whether a client lets its connection live on. `connection`: the values of that header, with commas between."""
    words = [word.strip() for word in connection.lower().split(b",")]
    if b"close" in words:
        return False
    return is_http_1_1 or b"keep-alive" in words


def check_size(line_bytes: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises TargetTooLong and HeadersTooLarge."""
    if line_bytes > MAX_LINE_BYTES:
        raise too_long(in_line=True)
    if sum(len(name) + len(value) + 2 for name, value in headers) > MAX_HEADERS_BYTES:
        raise too_long(in_line=False)


def too_long(*, in_line: bool) -> TargetTooLong | HeadersTooLarge:
    """Return the refusal of a head whose request line, or all of whose headers, are too long."""
    if in_line:
        return TargetTooLong(f"The request line is longer than {MAX_LINE_BYTES} bytes.")
    return HeadersTooLarge(f"The headers of the request are larger than {MAX_HEADERS_BYTES} bytes.")


def is_unfit(begun: bytes) -> bool:
    """Return whether the begin of a head can become none."""
    if not begun or begun == b"\r":
        return False
    line_end = begun.find(b"\r\n")
    return (
        # A method begins with a capital; llhttp leaves out what else stands before one.
        not 0x41 <= begun[0] <= 0x5A
        or (len(begun) if line_end < 0 else line_end) > MAX_LINE_BYTES
        or len(begun) > MAX_HEAD_BYTES
        or len(begun) - begun.rfind(b"\r\n") > MAX_HEADERS_BYTES
        or begun.count(b"\n") != begun.count(b"\r\n")
    )
