"""Records as messages of a Kafka topic, through aiokafka (extra `kafka`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mms.tracking.sink import Undelivered

TIMEOUT_S = 10.0
_END_S = 5.0

#: Names of kafka-python's producer that aiokafka's has otherwise, None where it has no use for them.
_OTHER_NAMES: dict[str, str | None] = {
    "batch_size": "max_batch_size",
    "retries": None,
    "buffer_memory": None,
    "max_in_flight_requests_per_connection": None,
    "max_block_ms": None,
}
#: kafka-python's ways to name TLS files; aiokafka takes a context.
_TLS_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_check_hostname")


class KafkaSink:
    """Sends a JSON message for each record. Connects at the first write; a broker may come later.

    aiokafka has tasks of its own between writes, so its loop runs in a thread of its own.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        topic: str,
        *,
        producer_options: Mapping[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`brokers`: `host:port` each. `producer_options`: of kafka-python's or aiokafka's producer.

        Raises ImportError where aiokafka is not installed.
        """
        try:
            import aiokafka
        except ImportError as error:
            raise ImportError(
                'kafka:// needs the package aiokafka: pip install "marserve[kafka]"'
            ) from error
        self._make_producer = aiokafka.AIOKafkaProducer
        self._brokers = list(brokers)
        self.topic = topic
        self._options = _translated(producer_options or {})
        self._timeout_s = timeout_s
        self._producer: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<KafkaSink {','.join(self._brokers)}/{self.topic}>"

    def write(self, records: Sequence[bytes]) -> None:
        if self._loop is None:
            self._start_loop()
        assert self._loop is not None
        writing = asyncio.run_coroutine_threadsafe(self._send(records), self._loop)
        delivered, reason, can_retry = writing.result()
        if delivered < len(records):
            raise Undelivered(f"{self!r}: {reason}", delivered, can_retry=can_retry)

    def close(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _start_loop(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"kafka-{self.topic}"[:60], daemon=True
        )
        self._thread.start()

    async def _send(self, records: Sequence[bytes]) -> tuple[int, str, bool]:
        """Return (records taken, why not more, whether the next may be taken later)."""
        from aiokafka.errors import KafkaError, MessageSizeTooLargeError

        sent: list[asyncio.Future[Any]] = []
        reason, can_retry = "", True
        try:
            await asyncio.wait_for(self._hand_over(records, sent), self._timeout_s)
        except MessageSizeTooLargeError as error:
            reason, can_retry = _line(error), False
            if sent:
                await asyncio.wait(sent, timeout=self._timeout_s)
        except (KafkaError, OSError) as error:
            reason = _line(error)
        except asyncio.TimeoutError:
            reason = f"no answer within {self._timeout_s:g} seconds"
        for delivered, future in enumerate(sent):
            if not future.done() or future.cancelled():
                return delivered, reason or "not confirmed", True
            found = future.exception()
            if found is not None:
                return delivered, _line(found), bool(getattr(found, "retriable", True))
        return len(sent), reason, can_retry

    async def _hand_over(self, records: Sequence[bytes], sent: list[asyncio.Future[Any]]) -> None:
        producer = await self._connected()
        for record in records:
            found = await producer.send(self.topic, record)
            sent.append(found)
        if sent:
            await asyncio.wait(sent)

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = self._make_producer(bootstrap_servers=self._brokers, **self._options)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            stopping = asyncio.ensure_future(producer.stop())
            await asyncio.wait((stopping,), timeout=_END_S)


def _translated(options: Mapping[str, Any]) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    files = {name: options[name] for name in _TLS_FILES if name in options}
    for name, value in options.items():
        other = _OTHER_NAMES.get(name, name)
        if name not in _TLS_FILES and other is not None:
            translated[other] = value
    if files and "ssl_context" not in translated:
        from aiokafka.helpers import create_ssl_context

        context = create_ssl_context(
            cafile=files.get("ssl_cafile"),
            certfile=files.get("ssl_certfile"),
            keyfile=files.get("ssl_keyfile"),
            password=files.get("ssl_password"),
        )
        if files.get("ssl_check_hostname") is False:
            context.check_hostname = False
        translated["ssl_context"] = context
    return translated


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")
