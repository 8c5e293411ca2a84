"""What the server and the process that writes its log say to each other."""

from __future__ import annotations

import struct

#: Length of the packed lines that follow, in bytes.
HEADER = struct.Struct("=Q")
#: Items that are done, lines that are done, lines that were dropped.
PROGRESS = struct.Struct("=QQQ")
