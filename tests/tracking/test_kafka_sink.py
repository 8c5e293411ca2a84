"""Records as messages of a topic.

The broker is the one in memory of librdkafka, Confluent's client library: it speaks Kafka's protocol over TCP, but is
no broker that anybody would run, and Apache's own needs a download that no package index has. With
KAFKA_BOOTSTRAP=host:port the same tests run against the broker there.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator

import confluent_kafka
import pytest

from mms.tracking import RecordQueue, Undelivered, open_sink
from mms.tracking.kafka_sink import KafkaSink

LIMIT_S = 20.0


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    address = os.environ.get("KAFKA_BOOTSTRAP")
    if address:
        yield address
        return
    # It lives as long as this client of it.
    keeper = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (found,) = keeper.list_topics(timeout=LIMIT_S).brokers.values()
    yield f"{found.host}:{found.port}"
    del keeper


def read(broker: str, topic: str, count: int) -> list[bytes]:
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker, "group.id": uuid.uuid4().hex})
    try:
        partitions = consumer.list_topics(topic, timeout=LIMIT_S).topics[topic].partitions
        consumer.assign(
            [
                confluent_kafka.TopicPartition(topic, number, confluent_kafka.OFFSET_BEGINNING)
                for number in partitions
            ]
        )
        found: list[bytes] = []
        deadline = time.monotonic() + LIMIT_S
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message.value())
        return found
    finally:
        consumer.close()


def test_each_record_is_a_message(broker: str) -> None:
    topic = f"records-{uuid.uuid4().hex}"
    queue = RecordQueue(open_sink(f"kafka://{broker}/{topic}"), "kafka")
    records = [json.dumps({"n": number}).encode() for number in range(1000)]
    queue.push(records)
    assert queue.flush(LIMIT_S)
    assert (queue.counts.written, queue.counts.dropped) == (1000, 0)
    assert sorted(read(broker, topic, 1000)) == sorted(records)
    queue.push([b'{"n":"last"}'])
    assert queue.close(LIMIT_S)
    assert queue.counts.written == 1001


def test_a_message_that_is_too_large_is_refused_for_good(broker: str) -> None:
    sink = KafkaSink([broker], f"large-{uuid.uuid4().hex}")
    try:
        with pytest.raises(Undelivered, match="MessageSizeTooLarge") as raised:
            sink.write([b"1", b"2", b"x" * 2_000_000, b"3"])
    finally:
        sink.close()
    assert (raised.value.delivered, raised.value.can_retry) == (2, False)


def test_a_broker_that_is_away_may_come_back() -> None:
    sink = KafkaSink(["127.0.0.1:1"], "topic", timeout_s=5)
    with pytest.raises(Undelivered) as raised:
        sink.write([b"1"])
    sink.close()
    assert (raised.value.delivered, raised.value.can_retry) == (0, True)
