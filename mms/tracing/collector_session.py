"""The HTTP session that spans are sent in: a collector whose answer has no end takes neither memory nor the thread."""

from __future__ import annotations

import io
import os
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from mms.text.answer_bodies import read_start

#: Whoever sets one of them gives the SDK a session of their own.
_OWN_SESSION = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)


class _ShortAnswers(HTTPAdapter):
    """Reads the start of each answer alone, as it came: nothing is decompressed."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + self._timeout_s
        response = super().send(*args, **kwargs)
        raw = response.raw
        # Before version 2 urllib3 has `read` alone.
        read = getattr(raw, "read1", raw.read)
        try:
            start = read_start(lambda size: read(size, decode_content=False), deadline)
        except BaseException:
            raw.close()
            raise
        if not start.is_whole:
            raw.close()
        response.raw = io.BytesIO(start.data)
        return response


def make_session(timeout_s: float) -> requests.Session | None:
    """Return a session; None where the environment names one. `timeout_s`: how long an answer may take."""
    if any(os.environ.get(name) for name in _OWN_SESSION):
        return None
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _ShortAnswers(timeout_s))
    return session
