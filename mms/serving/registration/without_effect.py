"""What a registration says that means nothing to the kind of model that it turns out to make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Final

from mms.core.batching import BATCHING_PARAMETERS, POLICIES
from mms.interfaces import AUTO, INTERFACES
from mms.registration import Options, Parameter
from mms.registration.parameter import CODE, GRAPH, WORKERS, parameter_of
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel

_OF_SEQUENCES: Final = (
    *("sequence_max_idle_ms", "sequence_timeout_ms", "max_sequences"),
    "max_sequence_queue_size",
)


def without_effect(asked: RegisterOptions, served: ServedModel) -> list[str]:
    """Return a sentence for each parameter that has no effect on this model; none where only a worker will know."""
    return [
        f"{declared.name} has no effect on model {served.name}: {reason}"
        for group, declared, value in _given(asked)
        # A start gives all models what the settings say.
        if not (asked.is_from_operator and declared.setting)
        and (reason := _reason(group, declared, value, served)) is not None
    ] + _keys_without_effect(served)


def _keys_without_effect(served: ServedModel) -> list[str]:
    """Return a sentence for each key of the archive's file that only models of other interfaces read."""
    config = getattr(served, "model_config", {})
    if served.interface == AUTO:
        return []
    return [
        f"{key} of model-config.yaml has no effect on model {served.name}: only {each.nouns} have it, and the "
        f"interface is {served.interface}"
        for each in INTERFACES
        if each.name != served.interface
        for key in each.config_keys
        if config.get(key)
    ]


def _given(options: Options, group: str = "") -> Iterator[tuple[str, Parameter, object]]:
    """Return each parameter that asks for something, with the group that it is of and its value."""
    for member in fields(options):
        value = getattr(options, member.name)
        if isinstance(value, Options):
            yield from _given(value, member.name)
            continue
        declared = parameter_of(member)
        default = None if member.default is MISSING else member.default
        if declared is not None and value not in (default, declared.idle):
            yield group, declared, value


def _reason(group: str, declared: Parameter, value: object, served: ServedModel) -> str | None:
    if declared.names_model is True:
        return None
    is_graph = served.kind == GRAPH
    if declared.scope == GRAPH:
        return None if is_graph else "it is not a graph with predictors"
    reason = _reason_of_group(group, declared.name, served.interface)
    if served.kind == "model":
        return (
            reason
            or _reason_of_policy(declared.name, served)
            or _reason_of_maximum(declared.name, value, served)
            or _reason_of_launcher(declared.name, value, served)
            or _reason_of_admission(declared.name, served)
        )
    kind = "graph" if is_graph else "function"
    if declared.scope == CODE:
        # Of its interface a model tells; that one may be named.
        if value == getattr(served, declared.name, None):
            return None
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


def _reason_of_maximum(parameter: str, value: object, served: ServedModel) -> str | None:
    """Return why a maximum brings it no workers."""
    if parameter != "max_worker":
        return None
    least, options = served.first_bounds(0).least, served.effective
    if not least or options.lazy_load or options.scale_target_ms or value == least:
        return None
    return "its workers become more only with scale_target_ms"


def _reason_of_launcher(parameter: str, value: object, served: ServedModel) -> str | None:
    """Return why a parameter has none with what starts its workers."""
    launcher = served.effective.launcher or "process"
    if parameter in ("ray_resources", "ray_runtime_env", "ray_strategy") and launcher != "ray":
        return f"its launcher is {launcher}, and not ray"
    if parameter == "preload_model" and value and launcher == "ray":
        return "its launcher is ray: workers on nodes are not forked"
    return None


def _reason_of_admission(parameter: str, served: ServedModel) -> str | None:
    """Return why a parameter has none with how the model takes requests."""
    effective = served.effective
    if parameter in _OF_SEQUENCES and not effective.sequence_batching:
        return "its sequence_batching is not true"
    if parameter == "job_queue_size" and effective.job_tickets:
        return "its job_tickets lets no request wait"
    if parameter == "retry" and effective.sequence_batching:
        return "a request of a sequence is never run twice"
    return None


def _reason_of_policy(parameter: str, served: ServedModel) -> str | None:
    """Return why a parameter of batching has none with the policy that was named."""
    policy = POLICIES.get(served.effective.batch_policy or "")
    if policy is None or parameter not in BATCHING_PARAMETERS - policy.parameters:
        return None
    return f"its batch_policy, {policy.name}, does not go by it"
