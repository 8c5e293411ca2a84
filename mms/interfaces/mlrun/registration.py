"""The parameters of a registration that model servers of MLRun have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mms.interfaces.mlrun.model.options import NAN_POLICIES
from mms.registration.kind import DOCUMENT, OBJECT, TEXT, TRUTH, choice
from mms.registration.options import Options
from mms.registration.parameter import Shown, attribute, parameter


@dataclass(frozen=True, slots=True)
class ServerParameters(Options):
    """What a registration, or the function that a model comes with, says of a model server."""

    title: ClassVar[str] = "Of MLRun's model servers and functions"

    class_args: dict[str, Any] | None = parameter(
        "class_args",
        OBJECT,
        "More arguments of a model server of MLRun, of any type.",
        "See [MLRun](mlrun.md).",
        is_shared=False,
        is_new=True,
    )
    function_parameters: dict[str, Any] | None = parameter(
        "function_parameters",
        OBJECT,
        "What get_param of a model server of MLRun finds last.",
        is_shared=False,
        is_new=True,
    )
    model_path: str | None = parameter(
        "model_path",
        TEXT,
        "What a model server of MLRun gets as its model_path.",
        otherwise="the archive's folder",
        is_shared=False,
        is_new=True,
        shown=Shown("modelPath"),
    )
    load_mode: str | None = parameter(
        "load_mode",
        choice("sync", "async"),
        "Load a model server of MLRun before its first requests (sync) or beside them (async).",
        default="sync",
        is_shared=False,
        is_new=True,
        shown=Shown("loadMode"),
    )
    row_wise: bool | None = parameter(
        "row_wise",
        TRUTH,
        "With a batch_size above 1, join the inputs of requests into one call of a model server of MLRun.",
        otherwise="what the class says",
        is_shared=False,
        is_new=True,
    )
    input_path: str | None = parameter(
        "input_path",
        TEXT,
        "Where in a body the request is, for a model server of MLRun: names joined by dots.",
        is_shared=False,
        is_new=True,
    )
    result_path: str | None = parameter(
        "result_path",
        TEXT,
        "Where in the body the answer of a model server of MLRun goes: names joined by dots.",
        is_shared=False,
        is_new=True,
    )
    nan_policy: str | None = parameter(
        "nan_policy",
        choice(*NAN_POLICIES),
        "How a model server of MLRun answers NaN.",
        setting="nan_policy",
        is_shared=False,
        is_new=True,
    )
    strict_status: bool | None = parameter(
        "strict_status",
        TRUTH,
        "Whether a model server of MLRun answers more exact error statuses.",
        setting="strict_status",
        is_shared=False,
        is_new=True,
    )
    serving_spec: Any = parameter(
        "serving_spec",
        DOCUMENT,
        "A function of MLRun's, by its serving spec.",
        "In place of a `url`, in a JSON body alone; a `url` may lead to such a document, too. See "
        "[serving specs](mlrun.md#serving-specs).",
        is_shared=False,
        is_in_query=False,
        names_model=True,
        is_new=True,
    )
    #: Of the function that the model comes with; members of `ServingLoad` by the same names, as most of the others.
    key: str | None = attribute()
    graph: dict[str, Any] | None = attribute()
    function_graph: dict[str, Any] | None = attribute()
    graph_initializer: str | None = attribute()
    secret_sources: list[dict[str, Any]] | None = attribute()
    function_uri: str | None = attribute()
    verbose: bool | None = attribute()
    default_content_type: str | None = attribute()

    def said(self) -> dict[str, Any]:
        """Return the members that somebody has said something of, without a whole function."""
        return {name: value for name, value in self.given().items() if name != "serving_spec"}

    def over(self, own: ServerParameters) -> ServerParameters:
        """Return what a document says of a model (`own`), with what the registration of its function says of all.

        The registration goes before, but for arguments of classes: those of a model's own step are meant for it.
        """
        merged = replace(own, **self.said())
        return replace(
            merged,
            class_args={**(self.class_args or {}), **(own.class_args or {})} or None,
            function_parameters={
                **(own.function_parameters or {}),
                **(self.function_parameters or {}),
            },
        )
