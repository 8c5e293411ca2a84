"""Where records of requests go: sinks, and the bounded queue in front of each."""

from mms.tracking.opening import open_sink, with_topic
from mms.tracking.record_queue import Counts, RecordQueue
from mms.tracking.sink import Sink, Undelivered

__all__ = [
    "Counts",
    "RecordQueue",
    "Sink",
    "Undelivered",
    "open_sink",
    "with_topic",
]
