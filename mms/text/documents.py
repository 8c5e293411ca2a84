"""Documents in YAML that others wrote, read within limits to values as JSON has them.

Aliases are refused: a few hundred bytes of them stand for gigabytes. Reading blocks for up to `MAX_SECONDS`, so the
event loop leaves it to a thread, which gives others their turns while it reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

#: More than any graph, function with its code, or description of a model has.
MAX_BYTES: Final = 4 << 20
#: Values in a document, and how deep they may lie in each other.
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 100
#: For one text.
MAX_SECONDS: Final = 5.0
#: How many events are read between two looks at the clock.
_LOOK_EVERY: Final = 512
#: libyaml's events come ten times as fast as Python's; PyYAML may have been built without it.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PREFIX: Final = "tag:yaml.org,2002:"
_TEXT: Final = f"{_PREFIX}str"
_RESOLVER: Final[Any] = Resolver()
_CONSTRUCTOR: Final = SafeConstructor()


class InvalidDocument(ValueError):
    """A document is no YAML, or exceeds a limit. The message says what is wrong, and where."""


def read_yaml(text: str | bytes) -> Any:
    """Return the value of a document, None for an empty one. Raises InvalidDocument."""
    documents = read_yaml_documents(text)
    if len(documents) > 1:
        raise InvalidDocument(f"it has {len(documents)} documents, but may have only one")
    return documents[0] if documents else None


def read_yaml_documents(text: str | bytes) -> list[Any]:
    """Return the values of the documents of a text. Raises InvalidDocument."""
    if len(text) > MAX_BYTES:
        raise InvalidDocument(f"it is larger than {MAX_BYTES} bytes")
    try:
        return _values(_watched(yaml.parse(text, Loader=_LOADER)))
    except yaml.MarkedYAMLError as error:
        context = f"{error.context}: " if error.context else ""
        mark = error.problem_mark or error.context_mark
        raise _invalid(f"{context}{error.problem or 'it is not YAML'}", mark) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise InvalidDocument(" ".join(str(error).split())) from None


def check_depth(value: Any) -> None:
    """Raise InvalidDocument for a value of JSON that is nested deeper than a document may be."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        found = []
        for parent in level:
            if isinstance(parent, Mapping):
                found += [child for child in parent.values() if isinstance(child, Mapping | list)]
            elif isinstance(parent, list):
                found += [child for child in parent if isinstance(child, Mapping | list)]
        level = found
        if not level:
            return
    raise InvalidDocument(f"it is nested more than {MAX_DEPTH} levels deep")


def _watched(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Events within the limits of time, number and depth, without aliases."""
    until = time.monotonic() + MAX_SECONDS
    values = depth = 0
    for number, event in enumerate(events):
        if not number % _LOOK_EVERY and time.monotonic() > until:
            raise InvalidDocument(f"it takes more than {MAX_SECONDS:g} seconds to read")
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(
                f"the alias *{str(event.anchor)[:40]} is not supported; write out what it stands for",
                event.start_mark,
            )
        if isinstance(event, yaml.NodeEvent):
            values += 1
            if values > MAX_VALUES:
                raise InvalidDocument(f"it has more than {MAX_VALUES} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _invalid(f"it is nested more than {MAX_DEPTH} levels deep", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        yield event


def _values(events: Iterator[yaml.Event]) -> list[Any]:
    """Return the values that events say, without recursion: one of each document."""
    documents: list[Any] = []
    # Takes the next value to where it belongs; those of the levels above.
    add: Callable[[Any], None] = documents.append
    above: list[tuple[Callable[[Any], None], Callable[[], Any]]] = []
    for event in events:
        if isinstance(event, yaml.ScalarEvent):
            add(_scalar(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            is_sequence = isinstance(event, yaml.SequenceStartEvent)
            inner, finish = (_sequence if is_sequence else _mapping)(event)
            above.append((add, finish))
            add = inner
        elif isinstance(event, yaml.CollectionEndEvent):
            add, finish = above.pop()
            add(finish())
    return documents


def _sequence(
    event: yaml.CollectionStartEvent,
) -> tuple[Callable[[Any], None], Callable[[], Any]]:
    items: list[Any] = []
    tag = event.tag
    # Those who dump with Python's own tags write tuples so.
    is_tuple = tag == f"{_PREFIX}python/tuple"
    if not is_tuple and tag not in (None, "!", f"{_PREFIX}seq"):
        raise _unknown_tag(tag, event.start_mark)
    return items.append, lambda: tuple(items) if is_tuple else items


def _mapping(event: yaml.CollectionStartEvent) -> tuple[Callable[[Any], None], Callable[[], Any]]:
    if event.tag not in (None, "!", f"{_PREFIX}map"):
        raise _unknown_tag(event.tag, event.start_mark)
    flat: list[Any] = []

    def finish() -> dict[Any, Any]:
        keys = flat[::2]
        for key in keys:
            if isinstance(key, list | dict | tuple):
                raise _invalid("a list or mapping cannot be a key", event.start_mark)
        return dict(zip(keys, flat[1::2], strict=True))

    return flat.append, finish


def _scalar(event: yaml.ScalarEvent) -> Any:
    tag = event.tag
    if tag is None or tag == "!":
        tag = _RESOLVER.resolve(ScalarNode, event.value, event.implicit)
    if tag == _TEXT:
        return event.value
    construct = _CONSTRUCTORS.get(tag)
    if construct is None:
        if event.tag is None:
            # `<<` and `=`, which have a meaning only with aliases.
            return event.value
        raise _unknown_tag(tag, event.start_mark)
    try:
        return construct(ScalarNode(tag, event.value))
    except (ValueError, ArithmeticError, LookupError, AttributeError) as error:
        reason = f": {error}" if isinstance(error, ValueError) else ""
        kind = tag.removeprefix(_PREFIX)
        raise _invalid(
            f"{event.value[:40]} is not a valid {kind}{reason}", event.start_mark
        ) from None


def _date_text(node: ScalarNode) -> str:
    """Dates are texts in JSON; they have to exist all the same."""
    _CONSTRUCTOR.construct_yaml_timestamp(node)
    return str(node.value)


_CONSTRUCTORS: Final[Mapping[str, Callable[[ScalarNode], Any]]] = {
    f"{_PREFIX}null": _CONSTRUCTOR.construct_yaml_null,
    f"{_PREFIX}bool": _CONSTRUCTOR.construct_yaml_bool,
    f"{_PREFIX}int": _CONSTRUCTOR.construct_yaml_int,
    f"{_PREFIX}float": _CONSTRUCTOR.construct_yaml_float,
    f"{_PREFIX}timestamp": _date_text,
}


def _unknown_tag(tag: str, mark: Any) -> InvalidDocument:
    return _invalid(f"the tag {tag.removeprefix(_PREFIX)[:60]} is not known here", mark)


def _invalid(what: str, mark: Any) -> InvalidDocument:
    where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    return InvalidDocument(" ".join(what.split()) + where)
