"""The root logger of a worker: what the model's code logs keeps its level and logger on its way to the server's log."""

from __future__ import annotations

import logging
import sys

from mms.wire.log_records import METRIC_MARK, encode_record
from mms.worker.log_records.running_traces import names_of_traces


class RecordHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes records among the lines of a stream, as the server reads them. Formatters concern their text."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            names = "" if text.startswith(METRIC_MARK) else names_of_traces()
            self.stream.write(encode_record(record.levelno, record.name, text, names))
            self.flush()
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


def set_up_logging() -> None:
    """Have the log show messages alone, from INFO on."""
    logging.basicConfig(
        handlers=[RecordHandler(sys.stdout)], format="%(message)s", level=logging.INFO
    )
