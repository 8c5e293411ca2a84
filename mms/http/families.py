"""Some of the metrics in a Prometheus text, by the names of their families."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_HELP: Final = b"# HELP "
_END: Final = b"# EOF"


def families_of(text: bytes, names: Collection[str]) -> bytes:
    """Return the families of these names; a name that nothing has is passed over."""
    wanted = {name.encode("utf-8", "surrogateescape") for name in names}
    kept = []
    is_wanted = False
    for line in text.splitlines(keepends=True):
        if line.startswith(_HELP):
            is_wanted = line[len(_HELP) :].split(b" ", 1)[0].strip() in wanted
        if is_wanted or line.startswith(_END):
            kept.append(line)
    return b"".join(kept)
