"""How a component's hooks can be called, decided once from their signatures.

Seldon's wrapper calls with `meta` and, after any TypeError, again without it, so that an error in the hook's own code
runs it twice. Here a hook that can be called in no way says so, and nothing is called twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

Hook: TypeAlias = Callable[..., Any]
#: (value, names, meta) -> result
DataHook: TypeAlias = Callable[[Any, Any, Any], Any]
#: (values, names of each, meta of each) -> result
AggregateHook: TypeAlias = Callable[[list[Any], list[Any], list[Any]], Any]
#: (features, names, reward, truth, routing) -> result
FeedbackHook: TypeAlias = Callable[[Any, Any, float, Any, "int | None"], Any]
#: (the value that the main hook got) -> result
ExtraHook: TypeAlias = Callable[[Any], Any]


_HEADERS: Final = "headers"
_BY_KEYWORD: Final = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


class WrongSignature(TypeError):
    """A hook that cannot be called with what it would be given."""


def takes_headers(hook: Hook) -> bool:
    """Return whether it has a parameter `headers`."""
    try:
        parameter = inspect.signature(hook).parameters.get(_HEADERS)
    except (ValueError, TypeError):
        return False
    return parameter is not None and parameter.kind in _BY_KEYWORD


def with_headers(hook: Hook, read: Callable[[], dict[str, str]]) -> Hook:
    """Return the hook as one without the parameter `headers`; where it has one, it is given what `read` returns."""
    if not takes_headers(hook):
        return hook

    def call(*arguments: Any, **keywords: Any) -> Any:
        return hook(*arguments, headers=read(), **keywords)

    signature = inspect.signature(hook)
    others = [p for p in signature.parameters.values() if p.name != _HEADERS]
    call.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]  # inspect reads it
    return call


def data_call(hook: Hook, name: str) -> DataHook:
    """Return how `predict`, a transform or `route` is called: (X, names, meta=meta), (X, names), or what is nearest."""
    if _takes(hook, None, None, meta=None):

        def with_meta(value: Any, names: Any, meta: Any) -> Any:
            return hook(value, names, meta=meta)

        return with_meta
    if _takes(hook, None, None):
        return lambda value, names, meta: hook(value, names)
    if _takes(hook, None, None, None):
        return hook
    if _takes(hook, None):
        return lambda value, names, meta: hook(value)
    return _refusing(hook, name, "X, names, meta=None")


def takes_meta(hook: Hook) -> bool:
    """Return whether what `data_call` makes of the hook gives it the request's meta."""
    if _takes(hook, None, None, meta=None):
        return True
    return not _takes(hook, None, None) and _takes(hook, None, None, None)


def aggregate_call(hook: Hook) -> AggregateHook:
    """Return how `aggregate` is called: (features_list, names_list, meta=their meta), or what of it it takes."""
    if "meta" in {p.name for p in _parameters(hook)} and _takes(hook, None, None, meta=None):
        return lambda values, names, metas: hook(values, names, meta=metas)
    if _takes(hook, None, None):
        return lambda values, names, metas: hook(values, names)
    if _takes(hook, None, None, None):
        return hook
    if _takes(hook, None):
        return lambda values, names, metas: hook(values)
    return _refusing(hook, "aggregate", "features_list, feature_names_list")


def feedback_call(hook: Hook, strict: bool) -> FeedbackHook:
    """Return how `send_feedback` is called: (features, names, reward, truth, routing=...), or what of it it takes."""

    def as_seldon(features: Any, names: Any, reward: float, truth: Any, routing: Any) -> Any:
        return hook(features, names, reward, truth, routing=routing)

    if strict or _takes(hook, None, None, None, None, routing=None):
        return as_seldon
    # Old components have the last three in another order, or not all of them.
    own = [
        name
        for name in ("reward", "truth", "routing")
        if name in {parameter.name for parameter in _parameters(hook)}
    ]
    if own and _takes(hook, None, None, **dict.fromkeys(own)):

        def by_name(features: Any, names: Any, reward: float, truth: Any, routing: Any) -> Any:
            given = {"reward": reward, "truth": truth, "routing": routing}
            return hook(features, names, **{name: given[name] for name in own})

        return by_name
    if _takes(hook, None, None, None, None):
        return lambda features, names, reward, truth, routing: hook(features, names, reward, truth)
    return _refusing(hook, "send_feedback", "features, names, reward, truth, routing=None")


def extra_call(hook: Hook, name: str) -> ExtraHook:
    """Return how `tags` or `metrics` is called: without arguments, or as old documents have it with the main hook's."""
    if _takes(hook):
        return lambda value: hook()
    if _takes(hook, None):
        return hook
    return _refusing(hook, name, "")


def _takes(hook: Hook, *arguments: Any, **keywords: Any) -> bool:
    return all(_binds(found, arguments, keywords) for found in _signatures(hook))


def _binds(
    signature: inspect.Signature, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> bool:
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def _signatures(hook: Hook) -> Iterator[inspect.Signature]:
    """That of the hook, and that of what a decorator wrapped: it hands on what it is given.

    None for what is written in C, which is taken to accept everything.
    """
    try:
        outer = inspect.signature(hook, follow_wrapped=False)
    except (ValueError, TypeError):
        return
    yield outer
    takes_all = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if hasattr(hook, "__wrapped__") and takes_all <= {p.kind for p in outer.parameters.values()}:
        inner = inspect.signature(hook)
        # A decorator may add arguments of its own; then its word alone counts.
        if any(_binds(inner, (None,) * count, {}) for count in (0, 1, 2, 3, 4, 5)):
            yield inner


def _parameters(hook: Hook) -> list[inspect.Parameter]:
    return [p for signature in _signatures(hook) for p in signature.parameters.values()]


def _refusing(hook: Hook, name: str, expected: str) -> Callable[..., Any]:
    message = f"{name} takes {inspect.signature(hook)}, and should take ({expected})"

    def refuse(*arguments: Any) -> Any:
        raise WrongSignature(message)

    return refuse
