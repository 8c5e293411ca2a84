"""What the server and the process that writes its log say to each other."""

from __future__ import annotations

import struct

#: Outputs (bits), length of the text that follows, in bytes.
HEADER = struct.Struct("=II")
#: Items that are done, lines that are done, lines that were dropped.
PROGRESS = struct.Struct("=QQQ")
