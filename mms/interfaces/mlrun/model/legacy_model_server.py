"""The base class of models written to the first protocol: raw answers to `instances`."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.errors import MLRunNotFoundError
from mms.interfaces.mlrun.model.model_server import V2ModelServer, check_list

OPERATIONS = ("predict", "explain")


class MLModelServer(V2ModelServer):
    """One model of the first protocol: `/<model>/predict`, `/<model>/explain`, the returned value is the answer."""

    _CLASS_NAME = "mlrun.serving.v1_serving.MLModelServer"

    def __init__(
        self,
        name: str | None = None,
        model_dir: str | None = None,
        model: Any = None,
        context: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("model_path", model_dir)
        super().__init__(context=context, name=name, model=model, protocol="v1", **kwargs)
        self.model_dir = self.model_path
        self.model_file: Any = None

    @classmethod
    def of_graph(cls, **arguments: Any) -> MLModelServer:
        """Return a model server with the arguments that a graph gives.

        Constructors of this protocol are (name, model_dir[, model]): what else there is, `get_param` has afterwards.
        Raises TypeError, and whatever the constructor raises.
        """
        from mms.interfaces.mlrun.model.step_dict import argument_names

        names, takes_any = argument_names(cls.__init__)
        if takes_any:
            return cls(**arguments)
        if "model_dir" in names and "model_path" not in names:
            arguments["model_dir"] = arguments.pop("model_path", None)
        made = cls(**{name: arguments.pop(name) for name in names if name in arguments})
        made.context = arguments.pop("context", None)
        made._params.update(arguments)
        return made

    def get_model(self, suffix: str = "") -> tuple[Any, dict[str, Any]]:
        found = super().get_model(suffix)
        self.model_file = found[0]
        return found

    def preprocess(self, request: Any, operation: str = "predict") -> Any:
        return request

    def postprocess(self, request: Any) -> Any:
        return request

    def do_event(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer an event with what `predict` or `explain` returns for its body."""
        operation = (event.path or "").strip("/")
        if not operation:
            operation = "" if event.method == "GET" else "predict"
        if operation in ("infer", *OPERATIONS):
            name = "explain" if operation == "explain" else "predict"
            event.body = self._answer_by_hook(event, event.body, name, event.id)
            return event
        if operation in ("", "ready") and event.method == "GET":
            return super().do_event(event, *args, **kwargs)
        raise MLRunNotFoundError(
            f"model {self.name} has no operation {operation}, it has {', '.join(OPERATIONS)}"
        )

    def _accepted(self, body: Any, operation: str) -> Any:
        request = self._resolved(self._preprocessed(body, operation))
        check_list(request, "instances")
        return request

    def _enveloped(self, outputs: Any, operation: str, event_id: Any, started_ns: int) -> Any:
        return outputs

    def _recorded(self, answer: Any, event_id: Any) -> Any:
        return {"id": event_id, **(answer if isinstance(answer, dict) else {"outputs": answer})}

    def _preprocessed(self, body: Any, operation: str) -> Any:
        """Classes of the first protocol take the request alone."""
        from mms.interfaces.mlrun.model.step_dict import argument_names

        names, takes_any = argument_names(type(self).preprocess)
        if takes_any or len(names) > 2:
            return self.preprocess(body, operation)
        return self.preprocess(body)
