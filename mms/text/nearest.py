"""Unknown names in messages, with the known name that is nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Names that people know from elsewhere, by what they are called here.
_SIGNS = str.maketrans("", "", "_-. ")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like another one, whatever its case and signs; None where none is."""
    by_letters = {word.lower().translate(_SIGNS): word for word in known}
    close = difflib.get_close_matches(name[:100].lower().translate(_SIGNS), by_letters, n=1)
    return by_letters[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?`, or nothing where no known name is like it."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found is not None else ""
