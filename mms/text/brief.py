"""Values of others in messages: their `repr`, cut, at a cost that does not depend on how large they are."""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Mapping
from typing import Any, Final

#: What of a text, and of a whole value, is shown at most, in characters.
_MOST_CHARS: Final = 200
#: Members of an object, items of a list and levels of both that are shown.
_MOST_ITEMS: Final = 8
_MOST_LEVELS: Final = 3


class _Brief(reprlib.Repr):
    """Like reprlib's, but members stay in their order, and numbers of any length are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = _MOST_LEVELS
        self.maxstring = self.maxother = self.maxlong = _MOST_CHARS
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = _MOST_ITEMS

    def repr_dict(self, x: Mapping[Any, Any], level: int) -> str:
        if not x:
            return "{}"
        if level <= 0:
            return "{...}"
        shown = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in itertools.islice(x.items(), self.maxdict)
        ]
        return "{" + ", ".join(shown + ["..."] * (len(x) > self.maxdict)) + "}"

    def repr_int(self, x: int, level: int) -> str:
        # To write out such a number takes time, and Python refuses from 4,300 digits on.
        if x.bit_length() > 1024:
            return f"a number of about {int(x.bit_length() * 0.30103)} digits"
        return repr(x)

    def repr_bytes(self, x: bytes, level: int) -> str:
        return self.repr_str(x, level)  # type: ignore[arg-type]  # it slices, which both can


_brief = _Brief()


def brief(value: object) -> str:
    """Return the `repr` of a value for a message, cut in its middle where it is long."""
    # A short text, mostly a name, takes a hundredth of the time so.
    text = repr(value) if type(value) is str and len(value) < _MOST_CHARS else _brief.repr(value)
    if len(text) <= _MOST_CHARS:
        return text
    half = (_MOST_CHARS - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def one_line(text: str) -> str:
    """Return a text as it is where it is printable, with escapes for what is not."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
