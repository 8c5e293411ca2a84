"""The one error tree of the server.

Each class knows how the edges present it: its HTTP status, the `type` name that MMS clients see in error bodies (the
simple name of the Java exception that MMS threw) and its gRPC status code.
"""

from __future__ import annotations

from typing import ClassVar

# The canonical numbers of grpc.StatusCode, so that nothing below the gRPC edge imports grpc.
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

#: The HTTP status that logs and metrics have for a request that its client took back; nobody is sent it.
CLIENT_CLOSED_REQUEST = 499


class ServerError(Exception):
    """An error that a client may see.

    `message` is the text of the error body; None leaves the member out, as MMS does for exceptions without a message.
    """

    status: ClassVar[int] = 500
    type_name: ClassVar[str] = "InternalServerException"
    grpc_code: ClassVar[int] = INTERNAL

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "")
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status of this very error; a subclass may carry one of its own."""
        return self.status

    @property
    def shown_reason(self) -> str | None:
        """What the error's answer says beside MMS's message; None leaves it out."""
        return None

    @property
    def retry_after_s(self) -> int | None:
        """Seconds after which a client may try again, for a `Retry-After` header; None leaves it out."""
        return None


class InternalServerError(ServerError):
    """Something failed that is not the client's fault."""


class UnexpectedError(InternalServerError):
    """The server failed on one request, by a mistake of its own that its log tells of."""

    def __init__(self, request_id: bytes) -> None:
        shown = request_id.decode("ascii", "replace")
        super().__init__(
            f"The server failed on this request; its log says why. Request id: {shown}"
        )


class BadRequest(ServerError):
    """The request cannot be understood or a parameter has no valid value."""

    status = 400
    type_name = "BadRequestException"
    grpc_code = INVALID_ARGUMENT


class InvalidModel(BadRequest):
    """An archive or its manifest cannot be used."""

    type_name = "InvalidModelException"


class DownloadFailed(BadRequest):
    """An archive could not be downloaded from the url that a client gave."""

    type_name = "DownloadModelException"


class Unauthorized(ServerError):
    """The request has no valid key, and needs one."""

    status = 401
    type_name = "UnauthorizedException"
    grpc_code = UNAUTHENTICATED


class Forbidden(ServerError):
    """The request's key does not have the role that is needed."""

    status = 403
    type_name = "ForbiddenException"
    grpc_code = PERMISSION_DENIED


class ResourceNotFound(ServerError):
    """No route answers this path."""

    status = 404
    type_name = "ResourceNotFoundException"
    grpc_code = NOT_FOUND

    def __init__(
        self,
        message: str | None = "Requested resource is not found, please refer to API document.",
    ) -> None:
        super().__init__(message)


class ModelNotFound(ServerError):
    """No model is registered, or no archive found, under the given name."""

    status = 404
    type_name = "ModelNotFoundException"
    grpc_code = NOT_FOUND


class ModelVersionNotFound(ModelNotFound):
    """The model exists, the version asked for does not."""

    type_name = "ModelVersionNotFoundException"


class MethodNotAllowed(ServerError):
    """The route exists, the method is not served on it."""

    status = 405
    type_name = "MethodNotAllowedException"
    grpc_code = UNIMPLEMENTED

    def __init__(
        self,
        message: str | None = "Requested method is not allowed, please refer to API document.",
        *,
        allowed: str = "",
    ) -> None:
        """`allowed`: the methods that the route has, as an `Allow` header lists them; empty: it is not said."""
        super().__init__(message)
        self.allowed = allowed


class RequestTimeout(ServerError):
    """What was asked for did not finish in its time."""

    status = 408
    type_name = "RequestTimeoutException"
    grpc_code = DEADLINE_EXCEEDED


class Conflict(ServerError):
    """The name and version are taken."""

    status = 409
    type_name = "ConflictStatusException"
    grpc_code = ALREADY_EXISTS


class NameTaken(Conflict):
    """A model of that name and version, or of that name without versions, is registered."""

    def __init__(self, model_name: str, model_version: str | None = None) -> None:
        super().__init__(f"Model {model_name} is already registered.")
        self.model_name = model_name
        self.model_version = model_version


class InvalidVersion(ServerError):
    """The version may not be used so, for example removing a default that others depend on."""

    status = 403
    type_name = "InvalidModelVersionException"
    grpc_code = FAILED_PRECONDITION


class PayloadTooLarge(ServerError):
    """The body is over `max_request_size`."""

    status = 413
    type_name = "RequestEntityTooLargeException"
    grpc_code = RESOURCE_EXHAUSTED


class TargetTooLong(ServerError):
    """The request line is longer than the server reads."""

    status = 414
    type_name = "RequestURITooLongException"
    grpc_code = INVALID_ARGUMENT


class UnsupportedCoding(ServerError):
    """The body is compressed in a way that the server cannot read."""

    status = 415
    type_name = "UnsupportedMediaTypeException"
    grpc_code = UNIMPLEMENTED


class HeadersTooLarge(ServerError):
    """The headers of the request are larger than the server reads."""

    status = 431
    type_name = "RequestHeaderFieldsTooLargeException"
    grpc_code = INVALID_ARGUMENT


class ExpectationFailed(ServerError):
    """An `Expect` header other than 100-continue."""

    status = 417
    type_name = "ExpectationFailedException"
    grpc_code = FAILED_PRECONDITION


class TooManyRequests(ServerError):
    """The client has used up what it may ask for."""

    status = 429
    type_name = "TooManyRequestsException"
    grpc_code = RESOURCE_EXHAUSTED

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> int | None:
        return self._retry_after_s


class NotImplementedHere(ServerError):
    """What a protocol has, and this server does not."""

    status = 501
    type_name = "NotImplementedException"
    grpc_code = UNIMPLEMENTED


class ServiceUnavailable(ServerError):
    """No worker, a full queue, or a server that is stopping."""

    status = 503
    type_name = "ServiceUnavailableException"
    grpc_code = UNAVAILABLE

    def __init__(self, message: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> int | None:
        return self._retry_after_s


class InsufficientMemory(ServiceUnavailable):
    """A model that could not be loaded for want of memory: beside others, or of the machine."""

    status = 507
    type_name = "InternalServerException"
    grpc_code = RESOURCE_EXHAUSTED


class WorkerFailure(ServerError):
    """What a worker reported, or what its end means, for one request.

    The status is the worker's own: 503 for a failed prediction, 507 for a memory error, 400 for input that cannot be
    decoded, or the code of a `PredictionException`.
    """

    def __init__(self, message: str | None, code: int = 500, type_name: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        if type_name is not None:
            self.type_name = type_name  # type: ignore[misc]  # an instance may differ from its class

    @property
    def http_status(self) -> int:
        return self.code


class WorkerStartFailed(ServerError):
    """The workers asked for could not load their model. `code` is 507 where memory was short, else 500.

    `reason` is the last line of what went wrong.
    """

    #: No description of the model has the reason: it was registered for this load, and is gone.
    is_model_gone = False
    #: Of a model that is gone, or of the part of it that could not be loaded.
    model_name = ""
    model_version: str | None = None

    def __init__(
        self, message: str = "Failed to start workers", code: int = 500, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    @property
    def http_status(self) -> int:
        return self.code

    def note_gone(self, model_name: str, model_version: str | None) -> None:
        """Note that the model was registered for this load, and is gone."""
        self.is_model_gone = True
        if not self.model_name:
            # Else it is a part of that one which could not be loaded.
            self.model_name, self.model_version = model_name, model_version

    @property
    def shown_reason(self) -> str | None:
        return self.reason or None if self.is_model_gone else None


class ConfigurationError(Exception):
    """A setting that cannot be used. The message is one line that names where it stands and what would be right."""
