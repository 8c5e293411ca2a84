"""The base class of models written to MLRun's contract: `load` and `predict`, and what surrounds them."""

from __future__ import annotations

import time

from mms.bodies.error_message import error_message
from mms.bodies.time_text import time_text
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, with_strict_status
from mms.interfaces.mlrun.model.event import HTTP_TRIGGERS, Response
from mms.interfaces.mlrun.model.step_dict import StepToDict
from mms.interfaces.mlrun.paths import get_path, put_path

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOAD_MODES = ("sync", "async")
#: How long an event of a stream waits for its model to load.
STREAM_WAIT_S = 250.0
#: Of clients whose model is still loading.
RETRY_AFTER_S = 5
_POLL_S = 0.05

_PREDICTIONS = ("infer", "predict", "infer_dict", "predict_dict")
_DICT_OPERATIONS = ("infer_dict", "predict_dict")


class V2ModelServer(StepToDict):
    """One model. Subclasses have `load` and `predict`, and any of the other hooks.

    Owned by the thread that runs its events, one at a time.
    """

    _CLASS_NAME = "mlrun.serving.v2_serving.V2ModelServer"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        model_path: str | None = None,
        model: Any = None,
        protocol: str | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        """`name`: `<name>` or `<name>:<version>`. `model`: in place of `load`. `kwargs`: for `get_param`."""
        self.name, _, self.version = (name or "").partition(":")
        self.context = context
        self.ready = False
        self.error: Any = ""
        self.protocol = protocol or "v2"
        self.model_path = model_path
        self.model_spec: Any = None
        self.model: Any = None
        self.metrics: dict[str, Any] = {}
        self.labels: dict[str, Any] = {}
        self.model_endpoint_uid: str | None = None
        self._input_path = input_path
        self._result_path = result_path
        # One dict by two names: classes write to the one and read the other.
        self._kwargs = self._params = kwargs
        self._model_logger: Any = None
        self._load_thread: Any = None
        if model is not None:
            self.model = model
            self.ready = True

    def __repr__(self) -> str:
        state = "ready" if self.ready else "failed" if self.error else "not ready"
        return f"<{type(self).__name__} {self.name}, {state}>"

    # Loading

    def load(self) -> Any:
        """Bring the model into memory, for example into `self.model`. May be a coroutine."""
        if not self.ready and self.model is None:
            raise ValueError("please specify a load method or a model object")

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        """Load, at once (`sync`) or in a thread (`async`). Called once by the one who made it.

        Raises RuntimeError for a load that failed, where it is at once.
        """
        if mode not in LOAD_MODES:
            raise ValueError(
                f"illegal model loading mode {mode}, must be one of {', '.join(LOAD_MODES)}"
            )
        context = self.context
        if context is not None and self._model_logger is None:
            stream = getattr(context, "stream", None)
            if stream is not None and stream.enabled:
                from mms.interfaces.mlrun.records.model_log import ModelLog

                self._model_logger = ModelLog(self, context)
        if self.ready:
            return
        if mode == "sync":
            self._load_and_update_state()
            return
        import threading

        self._load_thread = threading.Thread(
            target=self._load_unwatched, name=f"load-{self.name}", daemon=True
        )
        self._load_thread.start()
        self._log("info", f"started async model loading for {self.name}")

    def _load_and_update_state(self) -> None:
        try:
            self._resolved(self.load())
        except Exception as error:
            import traceback

            self.error = error
            self._log("error", traceback.format_exc())
            raise RuntimeError(f"failed to load model {self.name}") from error
        self.error = ""
        self.ready = True
        self._log("info", f"model {self.name} was loaded")

    def _load_unwatched(self) -> None:
        try:
            self._load_and_update_state()
        except RuntimeError:
            # It is in `error`, in the log, and in every answer from now on.
            pass

    def get_model(self, suffix: str = "") -> tuple[Any, dict[str, Any]]:
        """Return (path of the model's file, its extra data by name). Sets `model_spec`; its parameters go before ours.

        (None, {}) where there is no model_path.
        """
        if not self.model_path:
            return None, {}
        from mms.interfaces.mlrun.files.artifacts import get_model

        file, self.model_spec, extra = get_model(self.model_path, suffix)
        if self.model_spec is not None and self.model_spec.parameters:
            self._params.update(self.model_spec.parameters)
        return file, extra

    def get_param(self, key: str, default: Any = None) -> Any:
        """Return a parameter of the model, else of the function. One that is None is None."""
        if key in self._params:
            return self._params[key]
        if self.context is not None:
            return self.context.get_param(key, default=default)
        return default

    def set_metric(self, name: str, value: Any) -> None:
        """Set a number of the model's own, for the records of this and all later requests."""
        self.metrics[name] = value

    # What subclasses may have of their own

    def preprocess(self, request: Any, operation: str) -> Any:
        return request

    def validate(self, request: Any, operation: str) -> Any:
        """Return the request. Raises what the client gets for one that cannot be."""
        if self.protocol == "v2":
            check_inputs(request, self._input_path)
        return request

    def predict(self, request: Any) -> Any:
        """Return the outputs for `request["inputs"]`. May be a coroutine."""
        raise NotImplementedError()

    def explain(self, request: Any) -> Any:
        raise NotImplementedError()

    def postprocess(self, request: Any) -> Any:
        """Return the answer to send. `request`: the whole answer, with its id, model_name and outputs."""
        return request

    def logged_results(self, request: Any, response: Any, op: str | None) -> tuple[Any, Any]:
        """Return (inputs, outputs) for the record of a request, lists; None for both: as they were."""
        return None, None

    # Events

    def do_event(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer an event: its body becomes the answer. Raises whatever the hooks raise."""
        original_body = event.body
        body = original_body
        if self._input_path:
            body = get_path(body, self._input_path)
        operation, event_id = asked_for(event, body)
        method = event.method
        if not operation and method != "GET":
            operation = "infer"
        if operation in _PREDICTIONS or operation == "explain":
            answer = self._answer_by_hook(event, body, operation, event_id)
        elif operation == "ready" and method == "GET":
            event.terminated = True
            event.body = self._readiness(event_id)
            return event
        elif not operation:
            event.terminated = True
            answer = self.metadata()
        elif hasattr(self, "op_" + operation):
            event.terminated = True
            answer = self._resolved(getattr(self, "op_" + operation)(event))
        else:
            raise with_strict_status(
                ValueError(f"illegal model operation {operation}, method={method}"), 404
            )
        if self._result_path:
            answer = put_path(original_body, self._result_path, answer)
        event.body = answer
        return event

    def metadata(self) -> dict[str, Any]:
        """Return what a model says of itself."""
        found: dict[str, Any] = {
            "name": self.name,
            "version": self.version or "",
            "inputs": [],
            "outputs": [],
        }
        if self.model_spec is not None:
            for key in ("inputs", "outputs"):
                features = getattr(self.model_spec, key, None) or ()
                found[key] = [
                    feature if isinstance(feature, dict) else feature.to_dict()
                    for feature in features
                ]
        if self.model_endpoint_uid:
            found["model_endpoint_uid"] = self.model_endpoint_uid
        return found

    def _answer_by_hook(self, event: Any, body: Any, operation: str, event_id: Any) -> Any:
        """Return the whole answer of `predict` or `explain`."""
        started_ns = time.time_ns()
        log = self._model_logger
        began_ns = time.perf_counter_ns() if log is not None else 0
        if not self.ready:
            self._wait_or_refuse(event)
        request = self._accepted(body, operation)
        hook = self.explain if operation == "explain" else self.predict
        try:
            outputs = hook(request)
            if hasattr(type(outputs), "__await__"):
                outputs = self._resolved(outputs)
        except Exception as error:
            if isinstance(request, dict):
                request["id"] = event_id
            if log is not None:
                log.push_failure(started_ns, request, error, operation)
            raise
        answer = self._enveloped(outputs, operation, event_id, started_ns)
        answer = self._resolved(self.postprocess(answer))
        if log is not None:
            told = self._recorded(answer, event_id)
            log.push_result(started_ns, began_ns, request, told, operation)
        return answer

    def _accepted(self, body: Any, operation: str) -> Any:
        """Return the request that `predict` gets."""
        if operation in _DICT_OPERATIONS:
            body = self._with_ordered_inputs(body)
        return validated(self, self._resolved(self.preprocess(body, operation)), operation)

    def _enveloped(self, outputs: Any, operation: str, event_id: Any, started_ns: int) -> Any:
        """Return what `postprocess` gets."""
        if operation != "explain":
            return answer_of(self, outputs, event_id, started_ns)
        answer = {"id": event_id, "model_name": self.name, "outputs": outputs}
        return {**answer, "model_version": self.version} if self.version else answer

    def _recorded(self, answer: Any, event_id: Any) -> Any:
        """Return what a record tells of the answer."""
        return answer

    def _wait_or_refuse(self, event: Any) -> None:
        trigger = getattr(event, "trigger", None)
        kind = getattr(trigger, "kind", "") or ""
        if kind not in HTTP_TRIGGERS:
            deadline = time.monotonic() + STREAM_WAIT_S
            while not self.ready and not self.error and time.monotonic() < deadline:
                if self._load_thread is not None and self._load_thread.is_alive():
                    self._load_thread.join(_POLL_S)
                else:
                    time.sleep(_POLL_S)
            if self.ready:
                return
        if self.error:
            text = f"model {self.name} is not ready, {self._failure_text()}"
        else:
            text = f"model {self.name} is not ready yet"
        raise with_strict_status(RuntimeError(text), 503)

    def _readiness(self, event_id: Any) -> Any:
        make = Response if self.context is None else self.context.Response
        if self.ready:
            text = f"Model {self.name} is ready (event_id = {event_id})"
            return make(body=text.encode(), status_code=200)
        text = "model not ready"
        if self.error:
            text = f"{text}, {self._failure_text()}"
        options = getattr(self.context, "options", None)
        if options is not None and options.strict_status:
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            return make(body=text.encode(), status_code=503, headers=headers)
        return make(body=text.encode(), status_code=408)

    def _failure_text(self) -> str:
        if isinstance(self.error, BaseException):
            return f"its load failed: {type(self.error).__name__}: {error_message(self.error)}"
        return f"its load failed: {self.error}"

    def _with_ordered_inputs(self, body: Any) -> Any:
        """Return the request with the values of its inputs in the order of the model's features, in place of dicts."""
        features = getattr(self.model_spec, "inputs", None) if self.model_spec else None
        if not features:
            raise MLRunInvalidArgumentError(
                f"the features of model {self.name} are not known: operations on dicts need a "
                "model_path that load() reads with get_model(), and inputs in its model_spec"
            )
        if not isinstance(body, dict) or "inputs" not in body:
            check_inputs(body, self._input_path)
        names = [
            feature["name"] if isinstance(feature, dict) else feature.name for feature in features
        ]
        inputs = body["inputs"]
        if isinstance(inputs, dict):
            body["inputs"] = _ordered(inputs, names)
        elif isinstance(inputs, list) and all(isinstance(row, dict) for row in inputs):
            body["inputs"] = [_ordered(row, names) for row in inputs]
        else:
            raise with_strict_status(
                MLRunInvalidArgumentError(
                    "inputs must be a dict, or a list of dicts, of values by the names of features"
                ),
                422,
            )
        return body

    def _log(self, level: str, text: str) -> None:
        logger = getattr(self.context, "logger", None)
        if logger is not None:
            getattr(logger, level)(text)

    @staticmethod
    def _resolved(value: Any) -> Any:
        return resolved(value) if hasattr(type(value), "__await__") else value


def resolved(value: Any) -> Any:
    """Return a value, or what an awaitable comes to."""
    if not hasattr(type(value), "__await__"):
        return value
    from mms.interfaces.mlrun.awaiting import wait_for

    return wait_for(value)


def asked_for(event: Any, body: Any) -> tuple[str, Any]:
    """Return (the operation that an event names, empty for none; the id that its answer has)."""
    operation = (event.path or "").strip("/")
    event_id = event.id
    if isinstance(body, dict):
        if not operation:
            operation = str(body.get("operation") or "").strip("/")
        own_id = body.get("id")
        if own_id is not None:
            event_id = own_id
    return operation, event_id


def validated(server: Any, request: Any, operation: str) -> Any:
    """Return what a server's `validate` makes of a request. What it raises is the client's fault."""
    try:
        return resolved(server.validate(request, operation))
    except Exception as error:
        if not hasattr(error, "strict_status"):
            with_strict_status(error, 422)
        raise


def answer_of(server: Any, outputs: Any, event_id: Any, started_ns: int) -> dict[str, Any]:
    """Return the answer to a prediction."""
    answer = {
        "id": event_id,
        # Of newer packages of MLRun the name of a server has its version in it.
        "model_name": str(server.name).partition(":")[0],
        "outputs": outputs,
        "timestamp": time_text(started_ns),
    }
    if getattr(server, "version", None):
        answer["model_version"] = server.version
    if getattr(server, "model_endpoint_uid", None):
        answer["model_endpoint_uid"] = server.model_endpoint_uid
    return answer


def check_inputs(request: Any, input_path: str | None = None) -> None:
    """Refuse a request without a list of inputs. `input_path`: where in the body it is. Raises what a client gets."""
    check_list(request, "inputs", input_path)


def check_list(request: Any, key: str, input_path: str | None = None) -> None:
    """Refuse a request that has no body, or no list of that key. Raises what a client gets."""
    if request is None or (isinstance(request, str | bytes | bytearray) and not request):
        lack = (
            f"the request has nothing at {input_path}" if input_path else "the request has no body"
        )
        raise with_strict_status(ValueError(f'{lack}; expected JSON with "{key}"'), 422)
    if not isinstance(request, dict) or key not in request:
        raise with_strict_status(Exception(f'Expected key "{key}" in request body'), 422)
    if not isinstance(request[key], list):
        raise with_strict_status(Exception(f'Expected "{key}" to be a list'), 422)


def _ordered(row: dict[str, Any], names: list[str]) -> list[Any]:
    missing = [name for name in names if name not in row]
    if missing:
        raise with_strict_status(
            MLRunInvalidArgumentError(
                f"The dictionary in inputs don't contain all the necessary input keys : {missing}"
            ),
            422,
        )
    return [row[name] for name in names]
