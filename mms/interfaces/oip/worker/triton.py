"""Models of Triton's Python backend: `initialize(args)`, `execute(requests)`, `finalize()`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from mms.interfaces.oip.declared.triton_config import CONFIG_FILE, config_of_document, read_config
from mms.interfaces.oip.worker.outcomes import awaited, outcome_of
from mms.interfaces.oip.worker.rows import groups_of_rows
from mms.interfaces.oip.worker.sent_responses import SentResponses
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse
from mms.wire import Load
from mms.worker.tensors.failures import Failures

_Answer: TypeAlias = "InferResponse | InferError | Iterator[InferResponse | InferError]"

_PACKAGE: Final = "triton_python_backend_utils"
#: By the codes of `TritonError`.
_STATUS: Final = {0: 400, 1: 500, 2: 404, 3: 400, 4: 503, 5: 501, 6: 400, 7: 400}
#: Parameters of a request that have a place of their own, or are for the server.
_RESERVED: Final = frozenset(
    ("timeout", "priority", "sequence_id", "sequence_start", "sequence_end")
)
_SEQUENCE_START: Final = 1
_SEQUENCE_END: Final = 2
#: For a model that has no version, which Triton's all have.
_FIRST_VERSION: Final = "1"


class TritonServer:
    """Serves one instance of a `TritonPythonModel`."""

    explains = False
    reads_documents = False

    def __init__(
        self,
        instance: Any,
        utils: Any,
        load: Load,
        declaration: ModelDeclaration | None,
        *,
        is_decoupled: bool,
        is_checked: bool,
    ) -> None:
        """`utils`: the package that models import. `is_checked`: requests are checked before they come here."""
        self._instance = instance
        self._utils = utils
        self._declaration = declaration
        self._is_decoupled = is_decoupled
        self._is_checked = is_checked
        self._most_rows = declaration.max_batch_size if declaration is not None else 0
        self._outputs = [each.name for each in declaration.outputs] if declaration else []
        self._failures = Failures(load)
        self._name = load.model_name
        version = load.model_version or _FIRST_VERSION
        self._version = int(version) if version.isdecimal() else -1

    def __repr__(self) -> str:
        return f"<TritonServer of {self._name}>"

    def close(self) -> None:
        finalize = getattr(self._instance, "finalize", None)
        if callable(finalize):
            finalize()

    def take_series(self) -> list[dict[str, Any]]:
        """Return updates of the model's own metrics since the last time."""
        found: list[dict[str, Any]] = self._utils.take_updates()
        return found

    def infer(self, requests: list[InferRequest]) -> list[_Answer]:
        answers: dict[int, _Answer] = {}
        if self._declaration is not None and not self._is_checked:
            for place, request in enumerate(requests):
                try:
                    self._declaration.check(request)
                except InferError as error:
                    answers[place] = error
        taken = [place for place in range(len(requests)) if place not in answers]
        chosen = [requests[place] for place in taken]
        groups = (
            groups_of_rows(chosen, self._most_rows)
            if self._most_rows
            # As in Triton: without batching, `execute` gets one request.
            else ([index] for index in range(len(chosen)))
        )
        for group in groups:
            found = self._execute([chosen[index] for index in group])
            for index, answer in zip(group, found, strict=True):
                answers[taken[index]] = answer
        return [answers[place] for place in range(len(requests))]

    def _execute(self, requests: Sequence[InferRequest]) -> list[_Answer]:
        collected = [
            SentResponses(partial(self._answer, request=request))
            if self._is_decoupled and request.takes_parts
            else _Collected()
            for request in requests
        ]
        given = [
            self._given(request, each) for request, each in zip(requests, collected, strict=True)
        ]
        (outcome,) = awaited([outcome_of(self._instance.execute, given)])
        if isinstance(outcome, Exception):
            return [self._failures.of(outcome)] * len(requests)
        try:
            responses = self._responses(outcome, collected)
        except InferError as error:
            return [error] * len(requests)
        return [
            response if isinstance(response, SentResponses) else self._answer(response, request)
            for response, request in zip(responses, requests, strict=True)
        ]

    def _responses(
        self, returned: Any, collected: Sequence[_Collected | SentResponses]
    ) -> list[Any]:
        """Return the response to each request: the one that was returned, or sent. Raises InferError."""
        count = len(collected)
        if returned is None and (self._is_decoupled or all(each.is_used for each in collected)):
            returned = [None] * count
        if not isinstance(returned, list) or len(returned) != count:
            came = (
                f"a list of {len(returned)}"
                if isinstance(returned, list)
                else type(returned).__name__
            )
            raise InferError(
                f"execute returned {came} for {count} requests; a list with an InferenceResponse for each is right",
                500,
            )
        return [
            each.with_returned(response)
            if isinstance(each, SentResponses)
            else response
            if response is not None
            else each.wait()
            if each.is_used or self._is_decoupled
            else InferError(
                "execute returned None for a request, and nothing was sent by its response sender",
                500,
            )
            for response, each in zip(returned, collected, strict=True)
        ]

    def _answer(self, response: Any, request: InferRequest) -> InferResponse | InferError:
        if isinstance(response, InferError):
            return response
        try:
            if response.has_error():
                error = response.error()
                return InferError(str(error.message()), _STATUS.get(error.code(), 500))
            arrays = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
            answer = response_of(arrays, request, self._declaration)
            return answer._replace(parameters=response.parameters())
        except Exception as error:
            return self._failures.of(error)

    def _given(self, request: InferRequest, collected: _Collected | SentResponses) -> Any:
        """Return a request as `execute` gets it."""
        utils = self._utils
        parameters = request.parameters
        flags = 0
        if parameters.get("sequence_start"):
            flags |= _SEQUENCE_START
        if parameters.get("sequence_end"):
            flags |= _SEQUENCE_END
        requested = request.outputs
        return utils.InferenceRequest(
            request_id=request.id,
            correlation_id=parameters.get("sequence_id", 0),
            inputs=[utils.Tensor(name, tensor.array) for name, tensor in request.inputs.items()],
            requested_output_names=[each.name for each in requested]
            if requested
            else self._outputs,
            model_name=self._name,
            model_version=self._version,
            flags=flags,
            timeout=parameters.get("timeout", 0),
            parameters={name: value for name, value in parameters.items() if name not in _RESERVED},
            sender=utils.ResponseSender(collected.send, lambda: collected.is_closed),
        )


class _Collected:
    """What the response sender of one request has sent, whose client takes one response."""

    #: That its client has gone is not known here.
    is_closed = False

    def __init__(self) -> None:
        self.is_used = False
        self._response: Any = None
        self._has_several = False
        self._done = threading.Event()

    def __repr__(self) -> str:
        return f"<_Collected {self._response!r}>"

    def send(self, response: Any, is_final: bool) -> None:
        """From any thread."""
        self.is_used = True
        if response is not None:
            self._has_several = self._response is not None
            self._response = response
        if is_final:
            self._done.set()

    def wait(self) -> Any:
        """Return the response once the last one has been sent; the response timeout of the model limits the wait."""
        self._done.wait()
        if self._has_several:
            return InferError(
                "the model has sent more than one response to a request; clients get them by ModelStreamInfer of gRPC",
                501,
            )
        if self._response is None:
            return InferError("the model has sent no response to the request", 500)
        return self._response


def open_triton(found: Any, load: Load, declaration: ModelDeclaration | None) -> TritonServer:
    """Make the instance, and have it initialize. Raises whatever its code raises."""
    import importlib

    # On the path by now, since its folder is there.
    utils = importlib.import_module(_PACKAGE)
    utils.set_model_dir(load.code_folders[0])
    path = Path(load.model_dir, CONFIG_FILE)
    config = read_config(path.read_bytes() if path.is_file() else b"")
    if config.refusal:
        raise ValueError(f"{CONFIG_FILE}: {config.refusal}")
    document = config.document
    document["name"] = document["name"] or load.model_name
    for parameter in load.parameters:
        document["parameters"][parameter["name"]] = {"string_value": str(parameter["value"])}
    is_checked = declaration is not None and bool(declaration.inputs)
    complete = getattr(found, "auto_complete_config", None)
    if callable(complete) and not (document["input"] and document["output"]):
        completed = complete(utils.ModelConfig(json.dumps(document)))
        if completed is not None:
            document = completed.as_dict()
            declaration = _merged(declaration, config_of_document(document))
    instance = found()
    initialize = getattr(instance, "initialize", None)
    if callable(initialize):
        initialize(_arguments(document, load))
    return TritonServer(
        instance,
        utils,
        load,
        declaration,
        is_decoupled=utils.using_decoupled_model_transaction_policy(document),
        is_checked=is_checked,
    )


def _merged(declaration: ModelDeclaration | None, completed: ModelDeclaration) -> ModelDeclaration:
    if declaration is None:
        return completed
    return ModelDeclaration(
        declaration.inputs or completed.inputs,
        declaration.outputs or completed.outputs,
        declaration.max_batch_size or completed.max_batch_size,
    )


def _arguments(document: Mapping[str, Any], load: Load) -> dict[str, str]:
    number = load.worker_name.rpartition("-")[2]
    return {
        "model_config": json.dumps(document),
        "model_instance_kind": "CPU" if load.gpu_id is None else "GPU",
        "model_instance_name": f"{load.model_name}_0_{number if number.isdecimal() else 0}",
        "model_instance_device_id": str(load.gpu_id or 0),
        "model_repository": load.model_dir,
        "model_version": load.model_version or _FIRST_VERSION,
        "model_name": load.model_name,
    }
