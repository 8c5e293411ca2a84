"""What a registration asks for, and what an operation on a model came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class RegisterOptions:
    """A registration. None stands for the server's default.

    An empty `url` is a registration without an archive: of `folder`, or of what `prepackaged` and `model_uri` say.
    """

    url: str
    #: in hexadecimal: of the archive's file; without an archive, of the one file that `model_uri` names
    sha256: str | None = None
    #: named by whoever starts the server, not by a client
    is_from_operator: bool = False
    model_name: str | None = None
    #: where the archive's manifest has none
    model_version: str | None = None
    handler: str | None = None
    runtime: str | None = None
    #: None: 1, and 100 milliseconds
    batch_size: int | None = None
    max_batch_delay_ms: int | None = None
    #: requests that may wait
    job_queue_size: int | None = None
    #: the GPUs that its workers are spread over; none: no GPU; None: all that the server uses
    gpu_ids: Sequence[int] | None = None
    initial_workers: int | None = None
    synchronous: bool = True
    response_timeout_s: float | None = None
    #: for a load alone; 0: no limit; None: the setting, else the same as for a batch
    load_timeout_s: float | None = None
    #: for a request in queue and worker, and for waiting alone; 0: no limit
    request_timeout_s: float | None = None
    max_queue_time_ms: int | None = None
    preload_model: bool | None = None
    #: adaptive or fixed; None: the setting, else what the model's code turns out to take
    batch_policy: str | None = None
    #: whether a request is run once more when its worker ends; None: it is
    retry: bool | None = None
    #: off, folder or venv; None: the setting
    install_requirements: str | None = None
    #: fail or ignore
    initialize_errors: str | None = None
    #: auto, seldon, mms or mlrun; None: what the archive says
    interface: str | None = None
    service_type: str | None = None
    #: `[{"name", "value", "type"}]`, in place of the archive's parameters of the same name
    parameters: Any = ()
    model_uri: str | None = None
    prepackaged: str | None = None
    row_batching: bool | None = None
    #: of a component: check requests against its metadata; None: the setting
    validate_inputs: bool | None = None
    #: of a model server of MLRun: members of `Load.options` as they are, in place of the settings' (class_args, key,
    #: model_path, load_mode, row_wise, graph and so on)
    mlrun: Mapping[str, Any] = field(default_factory=dict)
    #: a serving function of MLRun's: its serving spec, or the function as it is exported
    serving_spec: Any = None
    #: where records of requests go: a path, or an object as JSON text or as it is; None: what the archive says
    tracking: Any = None
    #: of a graph's document with several: which one to serve
    predictor: str | None = None
    #: a folder that is served where it is, without an archive; for commands, not for clients
    folder: Path | None = None
    #: where a component is kept over restarts of the server
    persistence_file: str | None = None

    def of_part(self, **changes: Any) -> RegisterOptions:
        """The registration of a model that comes with this one: it runs as this one is to, and is itself another."""
        itself = {f.name: _default(f) for f in fields(self) if f.name in _ITSELF}
        return replace(self, **{**itself, "url": "", **changes})


#: What a registration says of one model alone.
_ITSELF = frozenset(
    (
        *(
            "sha256",
            "model_name",
            "model_version",
            "handler",
            "interface",
            "service_type",
            "parameters",
        ),
        *("model_uri", "prepackaged", "mlrun", "serving_spec", "predictor", "folder"),
        *("persistence_file",),
    )
)


def _default(member: Field[Any]) -> Any:
    return member.default if member.default_factory is MISSING else member.default_factory()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: an HTTP status, a reason phrase where it is not the usual one, the text of `status`."""

    status: int
    phrase: str | None
    text: str
    #: What of the operation has no effect, in sentences.
    without_effect: Sequence[str] = ()


SCALED = Outcome(200, None, "Workers scaled")
SCALING = Outcome(210, "Partial Success", "Workers scaling in progress...")
PROCESSING = Outcome(202, None, "Processing worker updates...")
