"""English contractions, and what they stand for. A shorter one comes before those that begin with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_NOT: Final = (
    *("are", "could", "did", "does", "do", "had", "has", "have", "is", "might", "must", "need"),
    *("ought", "should", "was", "were", "would"),
)
_ENDINGS: Final = {
    "'d": "would",
    "'ll": "will",
    "'m": "am",
    "'re": "are",
    "'s": "is",
    "'ve": "have",
}
#: The endings that a word takes.
_WORDS: Final = {
    "I": "'d 'll 'm 've",
    "i": "'d 'll 'm 've",
    **dict.fromkeys(("he", "she", "it"), "'d 'll 's"),
    **dict.fromkeys(("they", "we", "you"), "'d 'll 're 've"),
    "how": "'ll 's",
    "that": "'d 's",
    "there": "'d 's",
    "what": "'ll 're 's 've",
    "when": "'s 've",
    "where": "'s 've",
    "who": "'ll 's 've",
    "why": "'s 've",
    "so": "'ve",
    **dict.fromkeys(("could", "might", "must", "should", "to", "will", "would"), "'ve"),
}
_OTHERS: Final = {
    "ain't": "is not",
    "can't": "cannot",
    "'cause": "because",
    "how'd": "how did",
    "how'd'y": "how do you",
    "let's": "let us",
    "ma'am": "madam",
    "mayn't": "may not",
    "o'clock": "of the clock",
    "sha'n't": "shall not",
    "shan't": "shall not",
    "so's": "so as",
    "where'd": "where did",
    "won't": "will not",
    "y'all": "you all",
    "y'all'd": "you all would",
    "y'all're": "you all are",
}
#: What may have "have" behind it.
_WITH_HAVE: Final = ("n't", "'d", "'ll", "y'all")


def _shorter() -> Iterator[tuple[str, str]]:
    for word in _NOT:
        yield f"{word}n't", f"{word} not"
    for word, endings in _WORDS.items():
        for ending in endings.split():
            yield word + ending, f"{word} {_ENDINGS[ending]}"
    yield from _OTHERS.items()


def _all() -> Iterator[tuple[str, str]]:
    shorter = list(_shorter())
    yield from shorter
    for short, full in shorter:
        if short.endswith(_WITH_HAVE):
            yield f"{short}'ve", f"{full} have"


CONTRACTION_MAP: Final = dict(_all())
