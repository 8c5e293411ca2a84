"""Which sink a stream's path names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from mms.text.brief import brief
from mms.text.durations import bounded_s
from mms.text.urls import without_secrets
from mms.tracking.sink import Sink

if TYPE_CHECKING:
    from mms.tracking.http_sink import Connect

FORMS = "a file's path, file:///path, http(s)://host/path, kafka://host:port/topic, memory:// or dummy://"
_MEMORY = ("memory", "dummy")
_FILE_OPTIONS = ("max_bytes", "keep")
_HTTP_OPTIONS = ("headers", "timeout_s", "records_per_post")
_KAFKA_OPTIONS = ("kafka_brokers", "kafka_producer_options", "kafka_topic", "timeout_s")


def open_sink(path: str, *, connect: Connect | None = None, **options: Any) -> Sink:
    """Return the sink of a path, ready for writes. `{project}` in the path is replaced by the option `project`.

    `connect`: makes connections of http(s), in place of `socket.create_connection`.

    Raises ValueError for a path or option that is none, OSError for a file that cannot be written, ImportError where a
    package is missing.
    """
    project = options.pop("project", None)
    if project is not None:
        path = path.replace("{project}", str(project))
    if options.pop("mock", False):
        return _memory(path, {})
    scheme, sign, rest = path.partition("://")
    scheme = scheme.lower() if sign else ""
    if scheme == "kafka" or options.get("kafka_brokers"):
        return _kafka(path, options)
    if scheme in ("http", "https"):
        return _http(path, options, connect)
    if scheme in _MEMORY:
        return _memory(path, options)
    if scheme == "file":
        path = unquote(urlsplit(path).path)
    elif scheme == "v3io":
        raise ValueError(
            f"unsupported stream path {path}: streams of v3io need its platform; use {FORMS}"
        )
    elif scheme:
        raise ValueError(f"unsupported stream path {path}: use {FORMS}")
    return _file(path, options)


def with_topic(path: str, project: str) -> str:
    """Return the path of a stream; one of Kafka's without a topic gets that of the project."""
    if not path.lower().startswith("kafka://"):
        return path
    parts = urlsplit(path)
    if parts.path.strip("/") or "topic" in parse_qs(parts.query):
        return path
    return parts._replace(path=f"/monitoring_stream_{project}").geturl()


def _file(path: str, options: Mapping[str, Any]) -> Sink:
    from mms.tracking.file_sink import KEPT_FILES, FileSink

    _check_options(path, options, _FILE_OPTIONS)
    if not path or path.endswith("/"):
        raise ValueError(f"stream path {brief(path)} has no file name")
    max_bytes = _whole_number(path, options, "max_bytes", 0)
    return FileSink(
        path, max_bytes=max_bytes, keep=_whole_number(path, options, "keep", KEPT_FILES)
    )


def _http(path: str, options: Mapping[str, Any], connect: Connect | None) -> Sink:
    from mms.tracking.http_sink import TIMEOUT_S, HttpSink

    _check_options(path, options, _HTTP_OPTIONS)
    return HttpSink(
        path,
        headers=options.get("headers"),
        timeout_s=_seconds(path, options, TIMEOUT_S),
        records_per_post=_whole_number(path, options, "records_per_post", 1),
        connect=connect,
    )


def _memory(path: str, options: Mapping[str, Any]) -> Sink:
    from mms.tracking.memory_sink import MAX_RECORDS, MemorySink

    _check_options(path, options, ("max_records",))
    return MemorySink(_whole_number(path, options, "max_records", MAX_RECORDS))


def _kafka(path: str, options: Mapping[str, Any]) -> Sink:
    from mms.tracking.kafka_sink import TIMEOUT_S, KafkaSink

    _check_options(path, options, _KAFKA_OPTIONS)
    topic = options.get("kafka_topic") or ""
    brokers: list[str] = []
    if path.lower().startswith("kafka://"):
        parts = urlsplit(path)
        # Several brokers and their ports are no netloc that urlsplit would read a port from.
        brokers = [broker for broker in parts.netloc.split(",") if broker]
        topic = topic or parse_qs(parts.query).get("topic", [""])[0] or parts.path.strip("/")
    else:
        topic = topic or path.rpartition("://")[2].strip("/")
    given = options.get("kafka_brokers")
    if given:
        brokers = given.split(",") if isinstance(given, str) else list(given)
    if not brokers or not topic:
        raise ValueError(
            f"stream path {path} must be kafka://host:port/topic, or kafka://host:port?topic=name"
        )
    return KafkaSink(
        [broker if ":" in broker else f"{broker}:9092" for broker in brokers],
        topic,
        producer_options=options.get("kafka_producer_options"),
        timeout_s=_seconds(path, options, TIMEOUT_S),
    )


def _check_options(path: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"stream {without_secrets(path)} has no option {unknown[0]}; it has {', '.join(known)}"
        )


def _whole_number(path: str, options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ValueError(
            f"option {name} of stream {without_secrets(path)} is {brief(value)}, but must be a whole number"
        )
    return number


def _seconds(path: str, options: Mapping[str, Any], default: float) -> float:
    value = options.get("timeout_s", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(
            f"option timeout_s of stream {without_secrets(path)} is {brief(value)}, but must be seconds"
        )
    return bounded_s(value)
