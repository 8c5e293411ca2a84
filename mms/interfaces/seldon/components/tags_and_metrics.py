"""What goes with a component's result: tags and metrics, its own and those of one answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mms.interfaces.seldon.components.hooks import NOT_IMPLEMENTED, OwnHooks, ask
from mms.interfaces.seldon.components.request_headers import RequestHeaders
from mms.interfaces.seldon.components.results import Result
from mms.interfaces.seldon.components.signatures import ExtraHook, extra_call, with_headers
from mms.interfaces.seldon.errors import INTERNAL_ERROR, SeldonMicroserviceException
from mms.interfaces.seldon.meta import response_meta
from mms.interfaces.seldon.series import METHODS, reward_series, series_of, validate
from mms.interfaces.seldon.unit import Unit
from mms.text.brief import brief


class Collected(NamedTuple):
    """What the hooks of one call gave, for the answers to it."""

    tags: Any
    runtime_tags: Any
    metrics: Sequence[Mapping[str, Any]]
    unit: Unit

    def meta(self, request_meta: Mapping[str, Any] | None, puid: Any) -> dict[str, Any]:
        return response_meta(
            request_meta,
            tags=self.tags,
            runtime_tags=self.runtime_tags,
            metrics=self.metrics,
            request_path=self.unit.request_path,
            puid=puid,
        )


_INCLUDE = "INCLUDE_METRICS_IN_CLIENT_RESPONSE"


class TagsAndMetrics:
    """Calls `tags` and `metrics`, builds the meta of answers, and collects updates of Prometheus series."""

    def __init__(self, hooks: OwnHooks, headers: RequestHeaders, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._tags = _extra_hook(hooks, headers, "tags")
        self._metrics = _extra_hook(hooks, headers, "metrics")
        self._includes_metrics = os.environ.get(_INCLUDE, "true").lower() == "true"
        self._series: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"<TagsAndMetrics, {len(self._series)} series to send>"

    def take_series(self) -> list[dict[str, Any]]:
        """Return the updates since the last time."""
        taken = self._series
        if taken:
            self._series = []
        return taken

    def meta(
        self,
        operation: str,
        unit: Unit,
        value: Any,
        result: Result,
        request_meta: Mapping[str, Any] | None,
        puid: Any,
    ) -> dict[str, Any]:
        """Return the meta of an answer. `value`: what the main hook got. `request_meta`: what is carried over of it.

        Raises SeldonMicroserviceException (500) for wrong metrics, and whatever the hooks raise.
        """
        if (
            self._metrics is None
            and self._tags is None
            and not request_meta
            and not unit.request_path
            and result.is_plain
        ):
            return {"puid": puid} if puid else {}
        return self.collect(operation, unit, value, result).meta(request_meta, puid)

    def collect(self, operation: str, unit: Unit, value: Any, result: Result) -> Collected:
        """Call the hooks, and note the metrics. Raises as `meta`."""
        metrics = self._all_metrics(operation, unit, value, result.metrics)
        return Collected(self._own_tags(value), result.tags, metrics, unit)

    def note_raw(self, message: Any, operation: str, unit: Unit) -> None:
        """Note the metrics that a raw hook put into its answer's meta; they are taken out where clients get none."""
        if not isinstance(message, dict):
            return
        meta = message.get("meta", {})
        metrics = meta.get("metrics", [])
        if metrics and not self._includes_metrics:
            del meta["metrics"]
        self._add(metrics, operation, unit)

    def note_raw_proto(self, message: Any, operation: str, unit: Unit) -> None:
        """Note those of a protobuf message, as `note_raw` does."""
        from mms.interfaces.seldon.components.feedback import json_of_message

        if not message.meta.metrics:
            return
        metrics = json_of_message(message.meta).get("metrics", [])
        if not self._includes_metrics:
            del message.meta.metrics[:]
        # Protobuf leaves out what is zero.
        self._add([{"key": "", "value": 0.0, **metric} for metric in metrics], operation, unit)

    def note_reward(self, reward: float, unit: Unit) -> None:
        self._series += reward_series(reward, unit.labels)

    def _all_metrics(
        self, operation: str, unit: Unit, value: Any, runtime_metrics: Any
    ) -> Sequence[Mapping[str, Any]]:
        if runtime_metrics or not isinstance(runtime_metrics, list):
            validate(runtime_metrics, self._is_strict)
            self._add(runtime_metrics, operation, unit)
        own: Any = []
        if self._metrics is not None:
            returned = ask(self._metrics, value)
            if returned is not NOT_IMPLEMENTED:
                own = returned
                validate(own, self._is_strict)
                self._add(own, operation, unit)
        if not self._includes_metrics:
            return []
        return [*own, *runtime_metrics] if runtime_metrics else own

    def _own_tags(self, value: Any) -> Any:
        tags = NOT_IMPLEMENTED if self._tags is None else ask(self._tags, value)
        if tags is NOT_IMPLEMENTED:
            return None
        try:
            # Pairs are as good as a dict.
            return dict(tags or ())
        except (TypeError, ValueError):
            raise SeldonMicroserviceException(
                f"tags returned {brief(tags)}; a dict is right",
                status_code=500,
                reason=INTERNAL_ERROR,
            ) from None

    def _add(self, metrics: Any, operation: str, unit: Unit) -> None:
        if metrics:
            self._series += series_of(metrics, METHODS[operation], unit.labels)


def _extra_hook(hooks: OwnHooks, headers: RequestHeaders, name: str) -> ExtraHook | None:
    hook = hooks.find(name)
    return None if hook is None else extra_call(with_headers(hook, headers.read), name)
