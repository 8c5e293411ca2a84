"""Which sink a path names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mms.tracking import open_sink, with_topic
from mms.tracking.file_sink import FileSink
from mms.tracking.http_sink import HttpSink
from mms.tracking.kafka_sink import KafkaSink
from mms.tracking.memory_sink import MemorySink


def test_a_path_without_a_scheme_is_a_file(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "{project}.jsonl"), project="iris")
    assert isinstance(sink, FileSink)
    assert sink.path == str(tmp_path / "iris.jsonl")
    sink.close()


@pytest.mark.parametrize(
    ("path", "options", "brokers", "topic"),
    [
        ("kafka://host:9093/topic", {}, ["host:9093"], "topic"),
        ("kafka://host:9093?topic=other", {}, ["host:9093"], "other"),
        ("kafka://a:1,b:2/topic", {}, ["a:1", "b:2"], "topic"),
        ("kafka://host/topic", {}, ["host:9092"], "topic"),
        ("kafka:///topic", {"kafka_brokers": "a:1,b:2"}, ["a:1", "b:2"], "topic"),
        ("topic", {"kafka_brokers": ["a:1"]}, ["a:1"], "topic"),
    ],
)
def test_brokers_and_topic_of_kafka_are_in_the_path_or_beside_it(
    path: str, options: dict[str, Any], brokers: list[str], topic: str
) -> None:
    sink = open_sink(path, **options)
    assert isinstance(sink, KafkaSink)
    assert (sink._brokers, sink.topic) == (brokers, topic)


def test_options_of_kafkas_other_client_are_translated() -> None:
    sink = open_sink(
        "kafka://host/t",
        kafka_producer_options={"batch_size": 10, "retries": 3, "acks": "all"},
    )
    assert isinstance(sink, KafkaSink)
    assert sink._options == {"max_batch_size": 10, "acks": "all"}


def test_kafka_without_its_package_is_refused_with_the_extras_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(ImportError, match=r"marserve\[kafka\]"):
        open_sink("kafka://host/topic")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("kafka://host:9092", "kafka://host:9092/monitoring_stream_iris"),
        ("kafka://a:1,b:2/", "kafka://a:1,b:2/monitoring_stream_iris"),
        ("kafka://host:9092/own", "kafka://host:9092/own"),
        ("kafka://host?topic=own", "kafka://host?topic=own"),
        ("records.jsonl", "records.jsonl"),
        ("http://host:80", "http://host:80"),
    ],
)
def test_a_stream_of_kafka_without_a_topic_gets_that_of_the_project(
    path: str, expected: str
) -> None:
    assert with_topic(path, "iris") == expected


def test_memory_and_http_are_known() -> None:
    assert isinstance(open_sink("dummy://"), MemorySink)
    assert isinstance(open_sink("memory://", max_records=3), MemorySink)
    assert isinstance(open_sink("v3io://fake", mock=True, access_key="x"), MemorySink)
    assert isinstance(open_sink("https://host/path?key=1"), HttpSink)


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("v3io:///projects/x", {}, "need its platform"),
        ("ftp://host/x", {}, "unsupported stream path ftp://host/x: use a file's path"),
        ("kafka://host", {}, "must be kafka://host:port/topic"),
        ("http:///nowhere", {}, "is not http://host"),
        ("/tmp/", {}, "has no file name"),
        ("/tmp/x", {"max_byte": 3}, "has no option max_byte; it has max_bytes, keep"),
        ("/tmp/x", {"max_bytes": "many"}, "max_bytes of stream /tmp/x is 'many'"),
        ("http://host/x", {"timeout_s": 0}, "timeout_s of stream http://host/x is 0"),
    ],
)
def test_a_path_or_option_that_is_none_is_refused_with_what_would_be_right(
    path: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        open_sink(path, **options)
