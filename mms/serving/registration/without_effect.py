"""What a registration says that means nothing to the kind of model that it turns out to make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Final

from mms.interfaces import AUTO, INTERFACES
from mms.registration import Options, Parameter
from mms.registration.parameter import CODE, WORKERS, parameter_of
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel

_PREDICTOR: Final = "predictor"
_SERVING_SPEC: Final = "serving_spec"


def without_effect(asked: RegisterOptions, served: ServedModel) -> list[str]:
    """Return a sentence for each parameter that has no effect on this model; none where only a worker will know."""
    is_said_by_all = {
        # A start gives all models the same number.
        "initial_workers": asked.is_from_operator or not asked.initial_workers,
        "interface": asked.interface in (AUTO, served.interface),
    }
    return [
        f"{declared.name} has no effect on model {served.name}: {reason}"
        for group, declared in _given(asked)
        if not is_said_by_all.get(declared.name)
        and (reason := _reason(group, declared, served)) is not None
    ]


def _given(options: Options, group: str = "") -> Iterator[tuple[str, Parameter]]:
    """Each parameter that asks for something, with the group that it is of."""
    for member in fields(options):
        value = getattr(options, member.name)
        if isinstance(value, Options):
            yield from _given(value, member.name)
            continue
        declared = parameter_of(member)
        default = None if member.default is MISSING else member.default
        if declared is not None and value != default:
            yield group, declared


def _reason(group: str, declared: Parameter, served: ServedModel) -> str | None:
    name = declared.name
    if name == _SERVING_SPEC:
        return None
    if name == _PREDICTOR:
        return None if served.kind == "graph" else "it is not a graph with predictors"
    reason = _reason_of_group(group, name, served.interface)
    if served.kind == "model":
        return reason
    kind = "graph" if served.kind == "graph" else "function"
    if declared.scope == CODE:
        return f"it is a {kind}, whose document says what its models are"
    if reason is not None:
        return reason
    if declared.scope == WORKERS and served.is_composite and not served.has_parts:
        return f"it is a {kind} without workers of its own; set it for the models that it asks"
    return None


def _reason_of_group(group: str, option: str, interface: str) -> str | None:
    """Of a parameter that only models of some interfaces have. A group has the name of its interface."""
    if not group or interface == AUTO:
        return None
    takers = [each for each in INTERFACES if each.name == group or option in each.also_takes]
    if any(each.name == interface for each in takers):
        return None
    nouns = " and ".join(each.nouns for each in takers)
    return f"only {nouns} have it, and the interface is {interface}"
