"""What a worker is told of a model server of MLRun's, besides what it is told of every model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mms.wire import UrlRules
from mms.wire.messages import Message


@dataclass(slots=True)
class ServingLoad(Message):
    """The part of `Load` for model servers. What is not said here is a parameter of a registration, by its name."""

    strict_status: bool = False
    nan_policy: str = "null"
    #: For what bodies may name to be read in their place; None: nothing.
    data_url: UrlRules | None = None
    #: The operation that a body names is taken before that of the URL.
    body_operation: bool = False
    #: None: what the class says.
    row_wise: bool | None = None
    class_args: dict[str, Any] = field(default_factory=dict)
    function_parameters: dict[str, Any] = field(default_factory=dict)
    model_path: str | None = None
    load_mode: str = "sync"
    input_path: str | None = None
    result_path: str | None = None
    #: By which its function or router knows the model.
    key: str | None = None
    #: The flow or router that the worker runs; None: it runs one model.
    graph: dict[str, Any] | None = None
    #: What a function's initializer finds as the graph of its server.
    function_graph: dict[str, Any] | None = None
    graph_initializer: str | None = None
    secret_sources: list[dict[str, Any]] | None = None
    function_uri: str = ""
    verbose: bool = False
    default_content_type: str | None = None
