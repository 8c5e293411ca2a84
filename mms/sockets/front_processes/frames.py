"""What travels between the owner and a front process.

A frame is the number of a connection and a word, both u32, big-endian: the kind in the word's upper 8 bits, a size in
its lower 24. `DATA`, `OPEN` and `CONTROL` have a payload of that size. The front process chooses the numbers.

Each side may send `CREDIT_BYTES` of a connection at first, and what the other one grants from then on. So whoever takes
nothing holds up this connection alone, and what waits for it stays small.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

HEADER: Final = Struct("!II")
HEADER_BYTES: Final = HEADER.size
KIND_SHIFT: Final = 24
#: Of a payload; words up to it are those of `DATA`.
MOST_BYTES: Final = (1 << KIND_SHIFT) - 1

#: Bytes of the client, or for it.
DATA: Final = 0
#: From the front process: a client has connected. JSON: listener, and what `get_extra_info` knows.
OPEN: Final = 1
#: The client sends no more; or nothing more is sent to it.
END: Final = 2
#: To the front process: end the connection once all has been sent.
CLOSE: Final = 3
#: To the front process: end it now; and so that no client takes it for a good end.
ABORT: Final = 4
RESET: Final = 5
#: From the front process: the connection is no more.
GONE: Final = 6
#: So many bytes more may be sent. The size is the number; there is no payload.
CREDIT: Final = 7
#: JSON about the process itself; of connection 0.
CONTROL: Final = 8

WITH_PAYLOAD: Final = frozenset((DATA, OPEN, CONTROL))

#: What may be under way of a connection, in one direction.
CREDIT_BYTES: Final = 64 * 1024
#: The same for a large body, which the owner's limits of memory count as it comes.
BULK_CREDIT_BYTES: Final = 256 * 1024
