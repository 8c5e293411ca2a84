"""Records of requests on the side of the front: from workers to the sinks that they share."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archiver import Manifest
from mms.bodies.json_text import to_record_text
from mms.bodies.time_text import time_text
from mms.errors import BadRequest, InvalidModel
from mms.repository.sources import Sources
from mms.serving.registration.path_policy import check_reference, check_stream
from mms.serving.tracking.tracking_options import InvalidTracking, TrackingOptions
from mms.text.urls import without_secrets
from mms.tracking import Counts, RecordQueue, open_sink, with_topic
from mms.wire.records import ERRORS, TRACKING

if TYPE_CHECKING:
    from mms.settings import Settings

#: What is kept of a model's newest records, for drift.
_RECENT_BYTES = 8 * 1024 * 1024
#: Time for what waits when the last model of a sink is gone, in seconds.
_CLOSE_S = 10.0


class TrackingFailed(Exception):
    """A stream cannot be opened. The message names it and says why."""


@dataclass(eq=False, slots=True)
class _Shared:
    """A queue and how many models write to it: two writers of one file would rotate it twice."""

    queue: RecordQueue
    users: int = 0


@dataclass(eq=False, slots=True)
class StreamCounts:
    """What became of one model's records for one stream. `stream`: records or errors."""

    model: str
    version: str
    stream: str
    counts: Counts = field(default_factory=Counts)


class ModelTracking:
    """The streams of one model. Called on the event loop; nothing here waits."""

    def __init__(self, model: str, version: str | None, options: TrackingOptions) -> None:
        self.options = options
        self.model = model
        self.version = version or ""
        self.streams: dict[int, tuple[RecordQueue, StreamCounts]] = {}
        #: The addresses as keys of the shared queues.
        self.keys: list[str] = []
        self._recent: deque[bytes] = deque(maxlen=options.recent)
        self._recent_bytes = 0
        self._seen = 0

    def __repr__(self) -> str:
        return f"<ModelTracking of {self.model} to {self.options.path}>"

    def take(self, stream: int, records: Sequence[bytes]) -> None:
        """Records of a worker, JSON texts; what has no stream here is let go."""
        found = self.streams.get(stream)
        if found is not None:
            queue, told = found
            queue.push(records, told.counts)
        if stream == TRACKING:
            self._remember(records)

    def recent(self) -> list[bytes]:
        """Return the newest records, the oldest first."""
        return list(self._recent)

    def push(
        self,
        class_name: str,
        request: Any,
        response: Any,
        *,
        started_ns: int | None = None,
        elapsed_ns: int = 0,
        operation: str | None = None,
        error: str | None = None,
        model: str | None = None,
    ) -> None:
        """A record that the front itself makes, as for an ensemble. `error`: in place of the response.

        `model`: the name that the record tells, where it is another one. `started_ns`: since the epoch. Sampled as the
        workers' records are.
        """
        if error is None:
            self._seen += 1
            if self._seen % self.options.sample:
                return
        record: dict[str, Any] = {
            "class": class_name,
            "worker": 0,
            "model": model or self.model,
            "version": self.version,
            "host": os.uname().nodename if hasattr(os, "uname") else "",
            "function_uri": self.options.function_uri,
        }
        if self.options.labels:
            record["labels"] = dict(self.options.labels)
        record["request"] = request
        record["op"] = operation
        if error is None:
            record["resp"] = response
        record["when"] = time_text(time.time_ns() if started_ns is None else started_ns)
        if error is None:
            record["microsec"] = elapsed_ns // 1000
        else:
            record["error"] = error
        self.take(TRACKING, [to_record_text(record).encode()])

    def describe(self) -> dict[str, Any]:
        described = self.options.describe()
        for _, told in self.streams.values():
            described[told.stream] = {
                "written": told.counts.written,
                "dropped": told.counts.dropped,
            }
        return described

    def _remember(self, records: Sequence[bytes]) -> None:
        recent = self._recent
        for record in records:
            if len(recent) == recent.maxlen:
                self._recent_bytes -= len(recent.popleft())
            recent.append(record)
            self._recent_bytes += len(record)
        while self._recent_bytes > _RECENT_BYTES and len(recent) > 1:
            self._recent_bytes -= len(recent.popleft())


class Tracking:
    """Owner of the sinks. Models with the same path share one."""

    def __init__(self) -> None:
        self._shared: dict[str, _Shared] = {}
        self._models: list[ModelTracking] = []

    def __repr__(self) -> str:
        return f"<Tracking of {len(self._models)} models to {len(self._shared)} sinks>"

    async def open_for(
        self,
        model: str,
        version: str | None,
        asked: Any,
        manifest: Manifest | None,
        settings: Settings,
        sources: Sources | None = None,
    ) -> ModelTracking | None:
        """Return the streams that a registration asks for, else the archive, else the settings; None for none.

        `sources`: what of the first two is allowed; None: all.
        Raises BadRequest, InvalidModel.
        """
        extensions = manifest.extensions if manifest is not None else {}
        try:
            if asked not in (None, ""):
                options = TrackingOptions.of(asked)
            elif extensions.get("tracking") is not None:
                options = TrackingOptions.of(extensions["tracking"])
            else:
                options = TrackingOptions.of(settings.tracking or "")
                sources = None
        except InvalidTracking as error:
            if asked in (None, "") and "tracking" in extensions:
                raise InvalidModel(f"The manifest's extensions are wrong: {error}.") from None
            raise BadRequest(f"{error}.") from None
        if options is None:
            return None
        try:
            return await self.open(model, version, options, sources)
        except TrackingFailed as error:
            raise BadRequest(f"Records cannot be written to {error}.") from None

    async def open(
        self,
        model: str,
        version: str | None,
        options: TrackingOptions,
        sources: Sources | None = None,
    ) -> ModelTracking:
        """Return the streams of a model. Raises TrackingFailed, BadRequest for what `sources` does not allow."""
        if sources is not None and options.reference is not None:
            check_reference(options.reference, sources)
        tracking = ModelTracking(model, version, options)
        try:
            for number, stream, path in (
                (TRACKING, "records", options.path),
                (ERRORS, "errors", options.error_stream),
            ):
                if path is None:
                    continue
                address = self._address(path, model, version, options)
                arguments = options.stream_args if number == TRACKING else {}
                if sources is not None:
                    check_stream(address, arguments, sources)
                queue = await self._queue(address, dict(arguments), tracking.keys, sources)
                told = StreamCounts(model, version or "", stream)
                tracking.streams[number] = queue, told
        except BaseException:
            await self.close(tracking)
            raise
        self._models.append(tracking)
        return tracking

    async def close(self, tracking: ModelTracking) -> None:
        """Give a model's streams back; what waits for a sink that nobody else uses is written first."""
        if tracking in self._models:
            self._models.remove(tracking)
        keys, tracking.keys = tracking.keys, []
        for key in keys:
            shared = self._shared[key]
            shared.users -= 1
            if not shared.users:
                del self._shared[key]
                await asyncio.to_thread(shared.queue.close, _CLOSE_S)

    def counts(self) -> Iterator[StreamCounts]:
        """Of each model and stream, for metrics."""
        for tracking in list(self._models):
            for _, told in list(tracking.streams.values()):
                yield told

    def waiting(self) -> Iterator[tuple[str, int]]:
        """(address of a sink, records that wait for it), for metrics."""
        for shared in list(self._shared.values()):
            yield shared.queue.name, shared.queue.waiting

    async def _queue(
        self, address: str, arguments: dict[str, Any], keys: list[str], sources: Sources | None
    ) -> RecordQueue:
        shared = self._shared.get(address)
        if shared is None:
            try:
                # Folders of a network file system may be slow.
                connect = sources.networks.connect if sources is not None else None
                sink = await asyncio.to_thread(open_sink, address, connect=connect, **arguments)
            except (ValueError, OSError, ImportError, TypeError) as error:
                raise TrackingFailed(f"{without_secrets(address)}: {error}") from None
            # Another registration may have been faster.
            shared = self._shared.get(address)
            if shared is None:
                shared = self._shared[address] = _Shared(
                    RecordQueue(sink, without_secrets(address))
                )
            else:
                sink.close()
        shared.users += 1
        keys.append(address)
        return shared.queue

    def _address(self, path: str, model: str, version: str | None, options: TrackingOptions) -> str:
        project, sign, _ = options.function_uri.partition("/")
        path = path.replace("{model}", _file_name(model))
        path = path.replace("{version}", _file_name(version or "latest"))
        project = _file_name(project if sign else "default")
        path = with_topic(path.replace("{project}", project), project)
        if path.startswith(("memory://", "dummy://")):
            # A name of its own for each model: they would otherwise push out each other's.
            return f"memory://{model}:{version or ''}"
        return path


def _file_name(text: str) -> str:
    """Return a name without what would lead to another folder."""
    return text.replace("/", "_").replace("..", "_")
