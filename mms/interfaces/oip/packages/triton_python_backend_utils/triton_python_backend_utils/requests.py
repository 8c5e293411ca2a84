"""Requests, answers and errors, and what sends answers one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from .tensors import TRITONSERVER_MEMORY_CPU, Tensor

TRITONSERVER_RESPONSE_COMPLETE_FINAL: Final = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START: Final = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END: Final = 2
TRITONSERVER_REQUEST_RELEASE_ALL: Final = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE: Final = 2

_NO_BLS: Final = (
    "code of a model cannot ask other models here (BLS): make a graph of the models, or have the "
    "client ask them"
)


class TritonModelException(Exception):
    """What a model's code raises, and is told."""


class TritonError:
    """Why a request has no answer. `code`: one of Triton's, which has a status in HTTP and one in gRPC."""

    UNKNOWN: ClassVar = 0
    INTERNAL: ClassVar = 1
    NOT_FOUND: ClassVar = 2
    INVALID_ARG: ClassVar = 3
    UNAVAILABLE: ClassVar = 4
    UNSUPPORTED: ClassVar = 5
    ALREADY_EXISTS: ClassVar = 6
    CANCELLED: ClassVar = 7

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = message
        self._code = code

    def __repr__(self) -> str:
        return f"<TritonError {self._code}: {self._message}>"

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class PreferredMemory:
    """Where a request to another model would leave its answer."""

    def __init__(
        self, preferred_memory_type: int = TRITONSERVER_MEMORY_CPU, preferred_device_id: int = 0
    ) -> None:
        self.preferred_memory_type = preferred_memory_type
        self.preferred_device_id = preferred_device_id

    def __repr__(self) -> str:
        return f"<PreferredMemory {self.preferred_memory_type}>"


class InferenceTrace:
    """A request has none here."""

    def __repr__(self) -> str:
        return "<InferenceTrace>"

    def get_context(self) -> None:
        return None


class InferenceResponse:
    """The answer to one request: tensors, or an error."""

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        for tensor in output_tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"output_tensors has {type(tensor).__name__}, where each is a pb_utils.Tensor"
                )
        self._tensors = list(output_tensors)
        self._error = TritonError(error) if isinstance(error, str) else error
        self._parameters = dict(parameters or {})

    def __repr__(self) -> str:
        return f"<InferenceResponse {self._error or self._tensors}>"

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def parameters(self) -> dict[str, Any]:
        return self._parameters


class ResponseSender:
    """Sends the answers to one request, from any thread. The last one has the flag of it, which may come alone."""

    def __init__(
        self,
        send: Callable[[InferenceResponse | None, bool], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._send = send
        self._is_cancelled = is_cancelled
        self._is_done = False

    def __repr__(self) -> str:
        return f"<ResponseSender, {'done' if self._is_done else 'open'}>"

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Raises TritonModelException for what cannot be sent any more."""
        is_final = bool(flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        if flags & ~TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            raise TritonModelException(f"unable to send response: unsupported flags {flags}")
        if self._is_done:
            raise TritonModelException(
                "unable to send response: the response sender has been closed by the final flag"
            )
        if response is None and not is_final:
            raise TritonModelException(
                "inference response must be given where the final flag is not set"
            )
        self._is_done = is_final
        self._send(response, is_final)

    def is_cancelled(self) -> bool:
        return self._is_cancelled()


class InferenceRequest:
    """One client's request, as `execute` gets it."""

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Sequence[str] = (),
        model_name: str = "",
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory | None = None,
        trace: InferenceTrace | None = None,
        parameters: dict[str, Any] | str | None = None,
        *,
        sender: ResponseSender | None = None,
    ) -> None:
        self._id = request_id
        self._correlation_id = correlation_id
        self._inputs = list(inputs)
        self._outputs = list(requested_output_names)
        self._model_name = model_name
        self._model_version = model_version
        self._flags = flags
        self._timeout = timeout
        self._preferred_memory = preferred_memory or PreferredMemory()
        self._trace = trace or InferenceTrace()
        self._parameters = parameters
        self._sender = sender

    def __repr__(self) -> str:
        return f"<InferenceRequest {self._id or 'without id'}, {self._inputs}>"

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def request_id(self) -> str:
        return self._id

    def correlation_id(self) -> int | str:
        return self._correlation_id

    def requested_output_names(self) -> list[str]:
        return self._outputs

    def model_name(self) -> str:
        return self._model_name

    def model_version(self) -> int:
        return self._model_version

    def flags(self) -> int:
        return self._flags

    def set_flags(self, flags: int) -> None:
        self._flags = flags

    def timeout(self) -> int:
        """Return how long it may take, in microseconds; 0 for any time."""
        return self._timeout

    def preferred_memory(self) -> PreferredMemory:
        return self._preferred_memory

    def trace(self) -> InferenceTrace:
        return self._trace

    def parameters(self) -> str:
        """Return the client's parameters as JSON, `{}` where it gave none; empty for a request of the model's own."""
        import json

        if isinstance(self._parameters, str):
            return self._parameters
        return "" if self._parameters is None else json.dumps(self._parameters)

    def get_response_sender(self) -> ResponseSender:
        if self._sender is None:
            raise TritonModelException("this request has not come from a client, and has no sender")
        return self._sender

    def is_cancelled(self) -> bool:
        return self._sender is not None and self._sender.is_cancelled()

    def set_release_flags(self, flags: int) -> None:
        if flags & TRITONSERVER_REQUEST_RELEASE_RESCHEDULE:
            raise TritonModelException("requests cannot be rescheduled here")

    def exec(self, *arguments: Any, **keywords: Any) -> InferenceResponse:
        raise TritonModelException(_NO_BLS)

    def async_exec(self, *arguments: Any, **keywords: Any) -> Any:
        raise TritonModelException(_NO_BLS)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """Return the input of a name; None where the request does not have it."""
    return _by_name(inference_request.inputs(), name)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """Return the output of a name; None where the answer does not have it."""
    return _by_name(inference_response.output_tensors(), name)


def _by_name(tensors: Sequence[Tensor], name: str) -> Tensor | None:
    return next((tensor for tensor in tensors if tensor.name() == name), None)


def is_model_ready(*arguments: Any, **keywords: Any) -> bool:
    raise TritonModelException(_NO_BLS)


def load_model(*arguments: Any, **keywords: Any) -> None:
    raise TritonModelException(_NO_BLS)


def unload_model(*arguments: Any, **keywords: Any) -> None:
    raise TritonModelException(_NO_BLS)
