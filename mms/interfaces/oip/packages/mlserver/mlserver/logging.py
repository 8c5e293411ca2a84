"""The log of models."""

from __future__ import annotations

import logging

logger = logging.getLogger("mlserver")


def get_logger() -> logging.Logger:
    return logger
