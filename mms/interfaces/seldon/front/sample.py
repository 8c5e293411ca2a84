"""A request that a component is likely to answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mms.prepackaged.columns import columns_of

if TYPE_CHECKING:
    from mms.serving.served import ServedModel

#: Of a class that nothing is known of.
_COLUMNS: Final = 2


def sample_of(served: ServedModel) -> tuple[str, dict[str, Any]]:
    """Return (no path, a row of as many numbers as a saved model takes). Blocks."""
    columns = None
    if served.options.component.prepackaged is not None:
        files = served.model_files
        columns = columns_of(served.archive.folder if files is None else Path(files.path))
    return "", {"data": {"ndarray": [[float(n) for n in range(1, (columns or _COLUMNS) + 1)]]}}
