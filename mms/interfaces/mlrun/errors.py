"""What classes of MLRun's contract raise, and the text and status that a client gets for it."""

from __future__ import annotations

from mms.bodies.error_message import error_message

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _Error = TypeVar("_Error", bound=BaseException)

_DEFAULT_STATUS = 400
_MODEL_FAILED = 500


class MLRunBaseError(Exception):
    """The base of all of them."""


class MLRunTaskNotReadyError(MLRunBaseError):
    """What was asked for is not there yet."""


#: Its name in old versions.
MLRunTaskNotReady = MLRunTaskNotReadyError


class ModelRunnerError(MLRunBaseError):
    """Models of a step failed: by their names the text of each error, None for those that did not fail."""

    def __init__(self, models_errors: dict[str, str | None], *arguments: object) -> None:
        self.models_errors = models_errors
        super().__init__(repr(self), *arguments)

    def __repr__(self) -> str:
        texts = (f"{model} {text}" for model, text in self.models_errors.items())
        return "ModelRunnerError: " + ";\n".join(texts)

    def get_errors(self) -> dict[str, str | None]:
        return self.models_errors


class MLRunHTTPError(MLRunBaseError):
    """An answer of a service that tells of an error."""

    def __init__(self, *arguments: object, response: object = None, **_: object) -> None:
        super().__init__(*arguments)
        self.response = response


class MLRunHTTPStatusError(MLRunHTTPError):
    """An error with an HTTP status of its own, that of its class."""

    error_status_code: int | None = None


class MLRunBadRequestError(MLRunHTTPStatusError):
    error_status_code = 400


class MLRunInvalidArgumentError(MLRunHTTPStatusError, ValueError):
    error_status_code = 400


class MLRunNotFoundError(MLRunHTTPStatusError):
    error_status_code = 404


class MLRunInternalServerError(MLRunHTTPStatusError):
    error_status_code = 500


class MLRunMissingDependencyError(MLRunInternalServerError):
    """A package is not installed."""


class MLRunRuntimeError(MLRunHTTPStatusError, RuntimeError):
    error_status_code = 500


class MLRunValueError(ValueError):
    """A value that cannot be."""


class MLRunFatalFailureError(Exception):
    """No retry will help."""

    def __init__(self, *arguments: object, original_exception: Exception | None = None) -> None:
        super().__init__(*arguments)
        self.original_exception = original_exception


#: What only classes of users raise and catch: name, status (None for the base's, or for none), bases.
_OTHERS: tuple[tuple[str, int | None, tuple[type[Exception], ...]], ...] = (
    ("MLRunModelLimitExceededError", 400, (MLRunHTTPStatusError, ValueError)),
    ("MLRunInvalidArgumentTypeError", 400, (MLRunHTTPStatusError, TypeError)),
    ("MLRunIncompatibleVersionError", 400, (MLRunHTTPStatusError,)),
    ("MLRunInvalidMMStoreTypeError", 400, (MLRunHTTPStatusError, ValueError)),
    ("MLRunStreamConnectionFailureError", 400, (MLRunHTTPStatusError, ValueError)),
    ("MLRunTSDBConnectionFailureError", 400, (MLRunHTTPStatusError, ValueError)),
    ("MLRunMissingProjectError", None, (MLRunBadRequestError,)),
    ("MLRunUnauthorizedError", 401, (MLRunHTTPStatusError,)),
    ("MLRunAccessDeniedError", 403, (MLRunHTTPStatusError,)),
    ("MLRunPaginationEndOfResultsError", None, (MLRunNotFoundError,)),
    ("MLRunMethodNotAllowedError", 405, (MLRunHTTPStatusError,)),
    ("MLRunConflictError", 409, (MLRunHTTPStatusError,)),
    ("MLRunPreconditionFailedError", 412, (MLRunHTTPStatusError,)),
    ("MLRunUnprocessableEntityError", 422, (MLRunHTTPStatusError,)),
    ("MLRunTooManyRequestsError", 429, (MLRunHTTPStatusError,)),
    ("MLRunNotImplementedServerError", 501, (MLRunHTTPStatusError,)),
    ("MLRunServiceUnavailableError", 503, (MLRunHTTPStatusError,)),
    ("MLRunGatewayTimeoutError", 504, (MLRunHTTPStatusError,)),
    ("MLRunTimeoutError", 504, (MLRunHTTPStatusError, TimeoutError)),
    ("MLRunRetryExhaustedError", None, (Exception,)),
    ("MLRunTaskCancelledError", None, (Exception,)),
    ("MLRunEmptySampleDFError", None, (MLRunValueError,)),
)
for _name, _status, _bases in _OTHERS:
    _members = {"__module__": __name__, **({"error_status_code": _status} if _status else {})}
    globals()[_name] = type(_name, _bases, _members)


class GraphError(Exception):
    """A graph that cannot be: its steps do not fit together."""


def err_to_str(error: BaseException | str | None) -> str:
    """Return an error's messages, with those of its causes; a text as it is."""
    if isinstance(error, BaseException):
        return error_message(error)
    return error or ""


def with_strict_status(error: _Error, status: int) -> _Error:
    """Return the same error, answered with `status` where statuses are strict."""
    # Not as an attribute is set: a class of errors may be frozen.
    error.__dict__["strict_status"] = status
    return error


def status_of(error: BaseException, is_strict: bool = False) -> int:
    """Return the HTTP status for an exception: its own where it has one, 400, or strictly what it means.

    Strictly: 404 for unknown models and operations, 422 for bad input, 503 for models that are not ready, 500 for
    what a model raises.
    """
    if is_strict:
        strict = getattr(error, "strict_status", None)
        if isinstance(strict, int):
            return strict
    own = getattr(error, "error_status_code", None)
    if isinstance(own, int) and 400 <= own <= 599:
        return own
    return _MODEL_FAILED if is_strict else _DEFAULT_STATUS


def error_text(error: BaseException) -> str:
    """Return `<class>: <message>[, caused by: <message>]`, one for each error that was named as a cause."""
    return f"{type(error).__name__}: {error_message(error)}"
