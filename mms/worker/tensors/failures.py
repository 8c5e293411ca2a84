"""What a model's code raised, as its clients are told."""

from __future__ import annotations

from mms.service import PredictionException
from mms.tensors.errors import InferError
from mms.wire import Load
from mms.worker.log_records.log_lines import write_log
from mms.worker.log_records.running_traces import names_of_traces
from mms.worker.log_records.tracebacks import model_traceback, shown_error
from mms.worker.tensors.served import refusal_of


class Failures:
    """Makes answers of exceptions, and logs those that nobody foresaw."""

    def __init__(self, load: Load) -> None:
        self._model_name = load.model_name
        #: Answers tell what else is left to the log.
        self._is_open = load.debug_errors

    def __repr__(self) -> str:
        return f"<Failures of model {self._model_name}>"

    def of(self, error: Exception) -> InferError:
        """Return the error of a request. Raises MemoryError again, of which the server makes its own answer."""
        if isinstance(error, MemoryError):
            raise error
        if isinstance(error, InferError):
            return error
        if isinstance(error, PredictionException):
            return refusal_of(error)
        failed = f"Model {self._model_name} failed:{names_of_traces()}"
        write_log(f"{failed}\n{model_traceback(error)}")
        shown = f": {shown_error(error)}" if self._is_open else ""
        return InferError(f"Prediction failed{shown}", 500)
