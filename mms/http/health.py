"""Health for probes: is it alive, has it started, is it ready, is a model ready. MMS's own `/ping` is beside these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from mms.errors import MethodNotAllowed
from mms.http.exchange import Exchange

if TYPE_CHECKING:
    from mms.serving import ModelHost

_METHODS = ("GET", "HEAD", "OPTIONS")


class HealthApi:
    """Answers 200, or 503 with the reasons. These name models: where keys are demanded, one is needed to see them."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host

    def serve(self, exchange: Exchange, segments: list[str]) -> web.StreamResponse | None:
        """The response, or None for a path that is none of these. Raises ModelNotFound and MethodNotAllowed."""
        if len(segments) == 1 and segments[0] in ("livez", "readyz", "startupz"):
            what = segments[0]
        elif len(segments) in (3, 4) and segments[0] == "models" and segments[-1] == "ready":
            what = "model"
        else:
            return None
        if exchange.method not in _METHODS:
            raise MethodNotAllowed
        if what == "livez":
            # That this is answered is the answer.
            return exchange.json({"status": "Live"})
        if what == "startupz":
            return self._tell(exchange, "Started", self._host.startup_problems())
        if what == "readyz":
            return self._tell(exchange, "Ready", self._host.problems())
        version = segments[2] if len(segments) == 4 else None
        return self._tell(exchange, "Ready", self._host.problems_of(segments[1], version))

    def _tell(self, exchange: Exchange, good: str, problems: list[str]) -> web.StreamResponse:
        if not problems:
            return exchange.json({"status": good})
        document: dict[str, Any] = {"status": f"Not{good}"}
        if exchange.is_trusted:
            document["reasons"] = problems
        return exchange.json(document, status=503)
