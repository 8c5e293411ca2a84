"""What the commands of this folder print: numbered steps, passing details, times."""

from __future__ import annotations

import shutil
import sys
import time

INDENT = "      "


class Steps:
    """Numbered steps: `[2/6] Training`, then indented lines about it.

    Details overwrite each other on a terminal and are left out elsewhere.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._number = 0
        self._started_at = 0.0
        self._has_detail = False

    def start(self, title: str) -> None:
        self._number += 1
        self._started_at = time.monotonic()
        print(f"[{self._number}/{self._count}] {title}", flush=True)

    def detail(self, text: str) -> None:
        if not sys.stdout.isatty():
            return
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{(INDENT + text)[:width]}", end="", flush=True)
        self._has_detail = True

    def line(self, text: str) -> None:
        self.clear_detail()
        print(INDENT + text, flush=True)

    def done(self, text: str = "done") -> None:
        self.line(f"{text} ({time.monotonic() - self._started_at:.1f} s)")

    def clear_detail(self) -> None:
        if self._has_detail:
            print("\r\033[K", end="", flush=True)
            self._has_detail = False
