"""The parameters of a registration that components have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mms.registration.kind import TEXT, TRUTH
from mms.registration.options import Options
from mms.registration.parameter import CODE, GRAPH, WORKERS, Shown, attribute, parameter


@dataclass(frozen=True, slots=True)
class ComponentParameters(Options):
    """What a registration says of a component, a server for saved models, or a graph."""

    title: ClassVar[str] = "Of Seldon components, servers for saved models and graphs"

    service_type: str | None = parameter(
        "service_type",
        TEXT,
        "What a Seldon component does in a graph.",
        "Of a [component](seldon.md): `MODEL`, `TRANSFORMER`, `OUTPUT_TRANSFORMER`, `COMBINER`, `ROUTER`, "
        "`OUTLIER_DETECTOR`.",
        otherwise="the manifest's",
        is_shared=False,
        is_new=True,
        shown=Shown("serviceType"),
        scope=CODE,
    )
    prepackaged: str | None = parameter(
        "prepackaged",
        TEXT,
        "The server that loads the files of model_uri, or of the archive, such as sklearn.",
        "One of the [servers](primehub.md#servers-for-saved-models). With `model_uri` no `url` is needed; the name is "
        "then the last part of the uri.",
        otherwise="the manifest's",
        is_shared=False,
        is_new=True,
        shown=Shown("prepackaged"),
        names_model="model_uri",
    )
    predictor: str | None = parameter(
        "predictor",
        TEXT,
        "Which predictor of a graph's document is served.",
        "See [graphs](graphs.md).",
        otherwise="the only one, or the first with traffic",
        scope=GRAPH,
        is_shared=False,
        is_new=True,
    )
    row_batching: bool | None = parameter(
        "row_batching",
        TRUTH,
        "With a batch_size above 1, join the rows of numeric requests into one call of a component.",
        default="false",
        is_new=True,
        shown=Shown("rowBatching", unless=False),
        scope=WORKERS,
    )
    validate_inputs: bool | None = parameter(
        "validate_inputs",
        TRUTH,
        "Check requests to a component against the inputs that its metadata declare.",
        "See [metadata](seldon.md#metadata).",
        setting="validate_inputs",
        is_new=True,
        shown=Shown("validateInputs"),
        scope=WORKERS,
    )
    #: The file that a component is kept in over restarts.
    persistence_file: str | None = attribute()
