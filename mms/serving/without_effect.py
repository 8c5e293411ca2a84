"""What a registration says that means nothing to the kind of model that it turns out to make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Final

from mms.serving.graph_service import GraphService
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel

#: Options whose parameters have other names.
_NAMES: Final = {
    "max_batch_delay_ms": "max_batch_delay",
    "response_timeout_s": "response_timeout",
    "load_timeout_s": "load_timeout",
    "request_timeout_s": "request_timeout",
}
#: They say how workers run. A model without workers gives them to the models that are registered with it.
_OF_WORKERS: Final = frozenset(
    (
        *("batch_size", "max_batch_delay_ms", "job_queue_size", "gpu_ids", "initial_workers"),
        *("response_timeout_s", "load_timeout_s", "max_queue_time_ms", "preload_model"),
        *("batch_policy", "retry", "install_requirements", "initialize_errors", "runtime"),
    )
)
#: They say what the code in an archive is; a document that says what a model is made of says it itself.
_OF_CODE: Final = frozenset(("interface", "service_type", "parameters", "model_uri"))
_OF_COMPONENTS: Final = frozenset(("service_type", "validate_inputs"))
_ROWS: Final = "row_batching"
_PREDICTOR: Final = "predictor"


def without_effect(asked: RegisterOptions, served: ServedModel) -> list[str]:
    """Return a sentence for each parameter that has no effect on this model; none where only a worker will know."""
    return [
        f"{name} has no effect on model {served.name}: {reason}"
        for option, name in _given(asked, served)
        if (reason := _reason(option, served)) is not None
    ]


def _given(asked: RegisterOptions, served: ServedModel) -> Iterator[tuple[str, str]]:
    """Each option that asks for something, with the name of its parameter."""
    is_said_by_all = {
        # A start gives all models the same number.
        "initial_workers": asked.is_from_operator or not asked.initial_workers,
        "interface": asked.interface in ("auto", served.interface),
    }
    for option in fields(asked):
        if is_said_by_all.get(option.name):
            continue
        value = getattr(asked, option.name)
        default = None if option.default is MISSING else option.default
        if option.name == "mlrun":
            yield from (("mlrun", name) for name in asked.mlrun)
        elif value != default:
            yield option.name, _NAMES.get(option.name, option.name)


def _reason(option: str, served: ServedModel) -> str | None:
    if option == _PREDICTOR and not isinstance(served.graph, GraphService):
        return "it is not a graph with predictors"
    if served.graph is None and not served.options.is_worker_graph:
        return _reason_of_code(option, served.interface)
    kind = "graph" if isinstance(served.graph, GraphService) else "function"
    if option in _OF_CODE or (option in _OF_COMPONENTS and kind == "function"):
        return f"it is a {kind}, whose document says what its models are"
    if option == "mlrun" and kind == "graph":
        return "only models of MLRun have it"
    is_of_workers = option in _OF_WORKERS or option in (_ROWS, *_OF_COMPONENTS)
    if is_of_workers and served.graph is not None and not served.has_parts:
        return f"it is a {kind} without workers of its own; set it for the models that it asks"
    return None


def _reason_of_code(option: str, interface: str) -> str | None:
    if interface == "auto":
        return None
    if option in _OF_COMPONENTS and interface != "seldon":
        return f"only components of Seldon have it, and the interface is {interface}"
    if option == _ROWS and interface not in ("seldon", "mlrun"):
        return f"only models of Seldon and MLRun have it, and the interface is {interface}"
    if option == "mlrun" and interface != "mlrun":
        return f"only models of MLRun have it, and the interface is {interface}"
    return None
