"""What a component may inherit and return: Seldon's base class and its response with tags and metrics."""

from __future__ import annotations

from typing import Any, NoReturn

from mms.interfaces.seldon.errors import SeldonNotImplementedError


class SeldonResponse:
    """A hook's result with tags and metrics of this one call."""

    def __init__(
        self,
        data: Any,
        tags: dict[str, Any] | None = None,
        metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        self.data = data
        self.tags = {} if tags is None else tags
        self.metrics = [] if metrics is None else metrics

    @classmethod
    def create(cls, data: Any) -> SeldonResponse:
        """Return the response itself if it is one, else one around `data`."""
        return data if isinstance(data, cls) else cls(data=data)


def _not_implemented(hook: str) -> NoReturn:
    raise SeldonNotImplementedError(f"{hook} is not implemented")


class SeldonComponent:
    """Base class of components, who need not have it. Every hook says that it is not implemented."""

    def __init__(self, **kwargs: Any) -> None:
        pass

    def load(self) -> None:
        """Load the model. Called once in each worker, before its first request."""

    def tags(self) -> Any:
        _not_implemented("tags")

    def class_names(self) -> Any:
        _not_implemented("class_names")

    def feature_names(self) -> Any:
        _not_implemented("feature_names")

    def metrics(self) -> Any:
        _not_implemented("metrics")

    def metadata(self) -> Any:
        _not_implemented("metadata")

    def init_metadata(self) -> Any:
        _not_implemented("init_metadata")

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        _not_implemented("predict")

    def predict_raw(self, msg: Any) -> Any:
        _not_implemented("predict_raw")

    def transform_input(self, X: Any, names: Any, meta: Any = None) -> Any:
        _not_implemented("transform_input")

    def transform_input_raw(self, msg: Any) -> Any:
        _not_implemented("transform_input_raw")

    def transform_output(self, X: Any, names: Any, meta: Any = None) -> Any:
        _not_implemented("transform_output")

    def transform_output_raw(self, msg: Any) -> Any:
        _not_implemented("transform_output_raw")

    def route(self, features: Any, feature_names: Any) -> Any:
        _not_implemented("route")

    def route_raw(self, msg: Any) -> Any:
        _not_implemented("route_raw")

    def aggregate(self, features_list: Any, feature_names_list: Any) -> Any:
        _not_implemented("aggregate")

    def aggregate_raw(self, msgs: Any) -> Any:
        _not_implemented("aggregate_raw")

    def send_feedback(
        self, features: Any, feature_names: Any, reward: Any, truth: Any, routing: Any
    ) -> Any:
        _not_implemented("send_feedback")

    def send_feedback_raw(self, feedback: Any) -> Any:
        _not_implemented("send_feedback_raw")

    def health_status(self) -> Any:
        raise SeldonNotImplementedError("health is not implemented")

    def health_status_raw(self) -> Any:
        raise SeldonNotImplementedError("health_raw is not implemented")
