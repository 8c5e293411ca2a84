"""What classes raise."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "MLRunBaseError": "mms.mlrun.errors",
        "MLRunTaskNotReady": "mms.mlrun.errors",
        "MLRunHTTPError": "mms.mlrun.errors",
        "MLRunHTTPStatusError": "mms.mlrun.errors",
        "MLRunPaginationEndOfResultsError": "mms.mlrun.errors",
        "MLRunBadRequestError": "mms.mlrun.errors",
        "MLRunInvalidArgumentError": "mms.mlrun.errors",
        "MLRunInvalidArgumentTypeError": "mms.mlrun.errors",
        "MLRunUnauthorizedError": "mms.mlrun.errors",
        "MLRunAccessDeniedError": "mms.mlrun.errors",
        "MLRunNotFoundError": "mms.mlrun.errors",
        "MLRunMethodNotAllowedError": "mms.mlrun.errors",
        "MLRunConflictError": "mms.mlrun.errors",
        "MLRunPreconditionFailedError": "mms.mlrun.errors",
        "MLRunIncompatibleVersionError": "mms.mlrun.errors",
        "MLRunUnprocessableEntityError": "mms.mlrun.errors",
        "MLRunTooManyRequestsError": "mms.mlrun.errors",
        "MLRunInternalServerError": "mms.mlrun.errors",
        "MLRunNotImplementedServerError": "mms.mlrun.errors",
        "MLRunServiceUnavailableError": "mms.mlrun.errors",
        "MLRunGatewayTimeoutError": "mms.mlrun.errors",
        "MLRunRuntimeError": "mms.mlrun.errors",
        "MLRunMissingDependencyError": "mms.mlrun.errors",
        "MLRunTimeoutError": "mms.mlrun.errors",
        "MLRunInvalidMMStoreTypeError": "mms.mlrun.errors",
        "MLRunFatalFailureError": "mms.mlrun.errors",
        "MLRunRetryExhaustedError": "mms.mlrun.errors",
        "MLRunTaskCancelledError": "mms.mlrun.errors",
        "MLRunValueError": "mms.mlrun.errors",
        "GraphError": "mms.mlrun.errors",
        "err_to_str": "mms.mlrun.errors:error_message",
    },
)
