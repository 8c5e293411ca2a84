"""Tokens of a text, as torchtext makes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

#: What a pattern becomes; in this order.
_NORMALIZED: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"'", " '  "),
        (r'"', ""),
        (r"\.", " . "),
        (r"<br \/>", " "),
        (r",", " , "),
        (r"\(", " ( "),
        (r"\)", " ) "),
        (r"!", " ! "),
        (r"\?", " ? "),
        (r";", " "),
        (r":", " "),
        (r"\s+", " "),
    )
)


def ngrams_iterator(token_list: Sequence[str], ngrams: int) -> Iterator[str]:
    """Yield the tokens, then each two neighbours, and so on up to `ngrams`, joined by blanks."""
    yield from token_list
    for length in range(2, ngrams + 1):
        for start in range(len(token_list) - length + 1):
            yield " ".join(token_list[start : start + length])


def get_tokenizer(
    tokenizer: str | Callable[[str], list[str]] | None, language: str = "en"
) -> Callable[[str], list[str]]:
    """Return a function that cuts a text: at blanks (None), as English (`basic_english`), or the one that is given.

    Raises ValueError for other names, which need torchtext.
    """
    if tokenizer is None:
        return str.split
    if callable(tokenizer):
        return tokenizer
    if tokenizer != "basic_english":
        raise ValueError(f"there is no tokenizer {tokenizer} here; basic_english is the one")
    if language != "en":
        raise ValueError("Basic normalization is only available for Enlish(en)")
    return _basic_english


def _basic_english(line: str) -> list[str]:
    line = line.lower()
    for pattern, replacement in _NORMALIZED:
        line = pattern.sub(replacement, line)
    return line.split()
