"""What a registration, an archive or the settings say about the tracking of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mms.errors import ConfigurationError
from mms.text.brief import brief
from mms.text.urls import without_secrets
from mms.wire import RecordOptions

if TYPE_CHECKING:
    from mms.settings import Settings

#: Words for no tracking, where an archive or the settings ask for some.
OFF = ("off", "none", "false")
_MEMBERS = (
    *("path", "sample", "batch", "error_stream", "reference", "function_uri", "labels"),
    *("stream_args", "recent"),
)
_RECENT = 10_000
_MOST = 10**9


class InvalidTracking(ValueError):
    """The message names what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """Paths may hold `{model}`, `{version}` and `{project}`."""

    #: Where records go; None: nowhere.
    path: str | None = None
    #: One of how many requests has a record. Errors always have one.
    sample: int = 1
    #: How many requests share a record.
    batch: int = 1
    #: Where errors go beside the records.
    error_stream: str | None = None
    #: The file with the distributions to compare with.
    reference: str | None = None
    function_uri: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Of the sink.
    stream_args: Mapping[str, Any] = field(default_factory=dict)
    #: How many of the newest records are kept for drift.
    recent: int = _RECENT

    @classmethod
    def of(cls, value: Any) -> TrackingOptions | None:
        """`value`: a path, an object as JSON text, the object itself; None where it says that there is none.

        Raises InvalidTracking.
        """
        if isinstance(value, str):
            text = value.strip()
            if not text or text.lower() in OFF:
                return None
            if not text.startswith("{"):
                return cls(path=_text({"path": text}, "path"))
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise InvalidTracking(f"tracking is not valid JSON: {error}") from None
        if not isinstance(value, Mapping):
            raise InvalidTracking(
                f'tracking must be a path or an object such as {{"path": ..., "sample": 10}}, not {brief(value)}'
            )
        unknown = [name for name in value if name not in _MEMBERS]
        if unknown:
            raise InvalidTracking(
                f"tracking has no member {unknown[0]}; it has {', '.join(_MEMBERS)}"
            )
        path, errors = _text(value, "path"), _text(value, "error_stream")
        if path is not None and path.lower() in OFF:
            path = None
        if path is None and errors is None:
            if "path" in value:
                return None
            raise InvalidTracking("tracking needs a path, or an error_stream")
        return cls(
            path=path,
            sample=_count(value, "sample", 1),
            batch=_count(value, "batch", 1),
            error_stream=errors,
            reference=_text(value, "reference"),
            function_uri=_text(value, "function_uri") or "",
            labels=_object(value, "labels"),
            stream_args=_object(value, "stream_args"),
            recent=_count(value, "recent", _RECENT),
        )

    def for_workers(self) -> RecordOptions:
        """Return what the model's workers are told of it."""
        return RecordOptions(
            path=self.path,
            sample=self.sample,
            batch=self.batch,
            has_errors=self.error_stream is not None,
            function_uri=self.function_uri,
            labels=dict(self.labels),
        )

    def describe(self) -> dict[str, Any]:
        """JSON-able, without secrets that an address may hold."""
        described: dict[str, Any] = {
            "path": without_secrets(self.path) if self.path else None,
            "sample": self.sample,
            "batch": self.batch,
        }
        if self.error_stream is not None:
            described["errorStream"] = without_secrets(self.error_stream)
        if self.reference is not None:
            described["reference"] = self.reference
        return described


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    if found is None or found == "":
        return None
    if not isinstance(found, str):
        raise InvalidTracking(f"tracking: {name} must be a text, not {brief(found)}")
    if "\0" in found:
        raise InvalidTracking(f"tracking: {name} {brief(found)} has a null in it")
    return found


def _count(value: Mapping[str, Any], name: str, default: int) -> int:
    found = value.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found < _MOST:
        raise InvalidTracking(
            f"tracking: {name} is {brief(found)}, but must be a whole number, from 1 to {_MOST - 1}"
        )
    return found


def _object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InvalidTracking(f"tracking: {name} must be an object, not {brief(found)}")
    return dict(found)


def check_tracking(settings: Settings) -> None:
    """Raise ConfigurationError for a setting `tracking` that no model could use."""
    try:
        TrackingOptions.of(settings.tracking or "")
    except InvalidTracking as error:
        raise ConfigurationError(
            f"Invalid configuration: {settings.quoted('tracking')}: {error}"
        ) from None
