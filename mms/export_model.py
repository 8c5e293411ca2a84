"""`multi-model-export`, which has been replaced by `model-archiver`."""

from __future__ import annotations

_NOTICE = """\033[93mmulti-model-export is no longer supported.
Please use model-archiver to create model archives:
model-archiver --help tells how.\033[0m"""


def main() -> int:
    """Print what to use instead."""
    print(_NOTICE)
    return 0
