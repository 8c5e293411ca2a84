"""The parameters of a call, which knows those of them that nobody has asked for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from mms.errors import BadRequest
from mms.http.routing.paths import first_values, parse_query
from mms.text.nearest import did_you_mean, nearest

logger = logging.getLogger("mms.http")

#: Names in one answer; the others are counted.
_MOST_SHOWN: Final = 10
#: Calls and names that the log has been told of; a call that comes again and again is told of once.
_MOST_LOGGED: Final = 1000


class Parameters(Mapping[str, Any]):
    """The first value of each name. Whatever is asked for by its name counts as known; the rest is without effect."""

    def __init__(self, given: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
        """`notes`: what else of the call has no effect, in words."""
        self._given = given
        self._known: set[str] = set()
        self._notes = list(notes)

    def __repr__(self) -> str:
        return f"<Parameters {', '.join(self._given)}>"

    @classmethod
    def of_query(cls, query: bytes, notes: Sequence[str] = ()) -> Parameters:
        """Raises BadRequest for a bad percent-escape."""
        pairs = parse_query(query)
        counts = Counter(name for name, _ in pairs)
        told = [
            f"parameter {_shown(name)} comes several times; the first counts"
            for name, count in counts.items()
            if count > 1
        ]
        return cls(first_values(query), [*notes, *told])

    def __getitem__(self, name: str) -> Any:
        self._known.add(name)
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def is_unheard_of(self, name: str) -> bool:
        """Return whether nobody has asked for a name, nor for one that is like it."""
        return name not in self._known and nearest(name, self._known) is None

    def know(self, names: Sequence[str]) -> None:
        """Take these for known, too."""
        self._known.update(names)

    def note(self, sentence: str) -> None:
        """Remember what else of the call has no effect, or another one than it seems."""
        self._notes.append(sentence)

    def without_effect(self) -> list[str]:
        """Sentences on what has been given and not asked for."""
        unknown = [name for name in self._given if name not in self._known]
        told = [
            f"unknown parameter {_shown(name)} has no effect{did_you_mean(name, sorted(self._known))}"
            for name in unknown[:_MOST_SHOWN]
        ]
        if len(unknown) > _MOST_SHOWN:
            told.append(f"{len(unknown) - _MOST_SHOWN} more parameters are unknown")
        return self._notes[:_MOST_SHOWN] + told


class Call(Protocol):
    """What is warned; an call. `warnings`: what its answer tells."""

    method: str
    path: bytes
    warnings: list[str]


class ParameterRule:
    """What becomes of parameters without effect: a warning, or a refusal."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._logged: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<ParameterRule{', strict' if self._is_strict else ''}>"

    def check(self, call: Call, parameters: Parameters) -> None:
        """Warn of what has no effect, in the answer and in the log. Raises BadRequest where that is refused.

        To be called when all parameters have been read, and before anything is done.
        """
        self._judge(call, parameters.without_effect(), "")

    def check_late(self, call: Call, told: Sequence[str]) -> None:
        """The same where only what has been done shows what had no effect; a refusal says that it has been done."""
        self._judge(call, told, "; the call has been made all the same")

    def _judge(self, call: Call, told: Sequence[str], besides: str) -> None:
        if not told:
            return
        if self._is_strict:
            sentences = "; ".join(told)
            raise BadRequest(
                f"{sentences[:1].upper()}{sentences[1:]} (strict_parameters){besides}."
            )
        self.warn(call, told)

    def warn(self, call: Call, told: Sequence[str]) -> None:
        """Warn in the answer, and once in the log."""
        path = call.path.decode("latin-1")
        for sentence in told:
            call.warnings.append(sentence)
            key = call.method, sentence
            if key not in self._logged and len(self._logged) < _MOST_LOGGED:
                self._logged.add(key)
                logger.warning("%s %s: %s", call.method, path, sentence)


def warning_lines(sentences: Sequence[str]) -> bytes:
    """`Warning` headers, of RFC 7234's form for whatever has no number of its own."""
    lines = []
    for sentence in sentences:
        text = sentence.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'Warning: 299 marserve "{text}"\r\n')
    return "".join(lines).encode("ascii", "replace")


def _shown(name: str) -> str:
    """Return a name as a header and a line of the log may have it."""
    text = name if name.isprintable() and name else repr(name)
    return text if len(text) <= 60 else f"{text[:57]}..."
