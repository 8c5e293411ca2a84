"""What a worker has to say of a request goes to its standard error, which the front reads into its log."""

from __future__ import annotations

import sys

from mms.wire.messages import MAX_MESSAGE_BYTES


def write_log(text: str) -> None:
    """Write whole lines. Where the model's code has closed or replaced standard error, they are lost."""
    try:
        sys.stderr.write(text)
    except Exception:
        # It may be None, closed, or an object of the model's own, which may raise anything: no request fails for it.
        return


def log_left_out(size_bytes: int) -> None:
    """A metric is too large for the front to take."""
    write_log(f"A metric of {size_bytes} bytes is left out: the limit is {MAX_MESSAGE_BYTES}.\n")
