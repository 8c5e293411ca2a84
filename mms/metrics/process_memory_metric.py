"""The memory of processes by their ids."""

from __future__ import annotations

import importlib
import logging
from typing import TextIO


def get_cpu_usage(pid: str) -> int:
    """Resident memory of a process in bytes, by MMS's name for it; 0, and a line in the log, where it is unknown."""
    psutil = importlib.import_module("psutil")
    try:
        size_bytes: int = psutil.Process(int(pid)).memory_info().rss
    except psutil.Error:
        logging.exception("Failed to get process for pid: %s", pid)
        return 0
    if size_bytes == 0:
        logging.error("Failed to get memory utilization for pid: %s", pid)
    return size_bytes


def check_process_mem_usage(stdin: TextIO) -> None:
    """Read one line of process ids, separated by commas; log `<pid>:<bytes>` for each that is known."""
    for process in stdin.readline().strip().split(","):
        if process and (size_bytes := get_cpu_usage(process)):
            logging.info("%s:%d", process, size_bytes)
