"""Logs its process id at each call."""

from __future__ import annotations

import logging
import os
import sys


def handle(data, context):
    if data is None:
        print("logging model: loading")
        return None
    logging.info("LoggingService inference [PID]: %d", os.getpid())
    print("a line on standard error", file=sys.stderr)
    return [f"{os.getpid()} OK\n"] * len(data)
