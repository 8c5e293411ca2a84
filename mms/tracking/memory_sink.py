"""Records that stay in this process, for tests and for whoever only looks at the newest."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Any

MAX_RECORDS = 10_000


class MemorySink:
    """Keeps the newest `max_records` records."""

    def __init__(self, max_records: int = MAX_RECORDS) -> None:
        self._records: deque[bytes] = deque(maxlen=max_records)

    def __repr__(self) -> str:
        return f"<MemorySink of {len(self._records)} records>"

    @property
    def records(self) -> list[Any]:
        """The oldest first."""
        return [json.loads(record) for record in list(self._records)]

    def write(self, records: Sequence[bytes]) -> None:
        self._records.extend(records)

    def close(self) -> None:
        """Do nothing: the records stay readable."""
