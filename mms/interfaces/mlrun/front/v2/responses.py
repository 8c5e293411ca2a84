"""What MLRun's models answer below `/v2`: errors as text, readiness by the front, all else by workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from mms.bodies.json_text import to_json
from mms.errors import ModelNotFound, ServerError
from mms.http.answers import JSON_LINE, matter_lines
from mms.http.apis.model_asker import ModelAsker
from mms.http.lane.head import LaneRoute
from mms.http.routing import RouteChanged
from mms.http.web.request import state_of
from mms.http.web.response import respond
from mms.interfaces import AUTO
from mms.interfaces.mlrun.front.router import front_router
from mms.interfaces.mlrun.front.v2.models import V2Models, key_of
from mms.interfaces.mlrun.front.v2.operations import document
from mms.interfaces.mlrun.model.model_server import RETRY_AFTER_S
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.serving.served.served_model import ServedModel

TEXT_LINE: Final = b"content-type: text/plain\r\n"
EVENT_ID: Final = "MLRUN-EVENT-ID"
EVENT_PATH: Final = "MLRUN-EVENT-PATH"
#: Of a server whose models stand side by side.
_ROUTER: Final = "ModelRouter"


class MlrunRefusal(ServerError):
    """An error that MLRun's router or model answers, under the name of the exception there."""

    def __init__(
        self, name: str, message: str, status: int, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.name = name
        self._status = status
        self._retry_after_s = retry_after_s

    @property
    def http_status(self) -> int:
        return self._status

    @property
    def retry_after_s(self) -> int | None:
        return self._retry_after_s


def error_form(error: ServerError) -> tuple[bytes, bytes]:
    """Return (header lines, body) of an error of the front: `<name>: <message>`."""
    lines = TEXT_LINE + matter_lines(error)
    name = error.name if isinstance(error, MlrunRefusal) else type(error).__name__.lstrip("_")
    return lines, f"{name}: {error.message or name}".encode("utf-8", "replace")


class MlrunResponses:
    """Answers for MLRun's models. `is_strict`: by statuses that say what is wrong, where MLRun has 400 and 408."""

    def __init__(self, models: V2Models, asker: ModelAsker, *, is_strict: bool) -> None:
        self._models = models
        self._asker = asker
        self._is_strict = is_strict

    def __repr__(self) -> str:
        return f"<MlrunResponses{', strict' if self._is_strict else ''}>"

    async def serve(
        self,
        request: web.Request,
        served: ServedModel,
        version: str | None,
        operation: str,
        *,
        key: str = "",
        path: str = "",
        body: bytes | bytearray | None = None,
    ) -> web.StreamResponse:
        """Return the response of one model. Raises the errors of the front, also where it is of another protocol.

        `key`: by which the client names it; its own where it names none. `path`: the whole path,
        for a graph that reads it itself. `body`: where it was read already.
        """
        if served.interface == AUTO and operation != "ready":
            await served.learn_interface()
            if body is None and not self._models.speaks(served):
                # It is asked as all models of other interfaces are.
                raise RouteChanged
        if not self._models.speaks(served):
            raise _of_another_protocol(served)
        key = key or key_of(served)
        if request.method == "OPTIONS":
            return respond(200, None, JSON_LINE, document(key))
        method = "GET" if request.method == "HEAD" else request.method
        is_ready_asked = operation == "ready" and method == "GET" and not path
        if is_ready_asked and not served.reads_paths:
            state_of(request).model, state_of(request).version = served.name, version or ""
            return self._readiness(request, served, key)
        if served.interface == AUTO:
            if served.has_failed_to_load:
                raise served.not_loaded()
            raise self._not_known_yet(served, key)
        route = self.route(served, version, operation, method, path)
        return await self._asker.ask(request, route, body)

    def route(
        self, served: ServedModel, version: str | None, operation: str, method: str, path: str
    ) -> LaneRoute:
        """Return how a worker is asked, by the fast path too."""
        return LaneRoute(
            served.name,
            version,
            passes_query=True,
            operation=ModelOperation(operation, method, path),
            error_form=error_form,
            methods=frozenset((method.encode("latin-1", "replace"),)),
        )

    def _readiness(self, request: web.Request, served: ServedModel, key: str) -> web.StreamResponse:
        if served.is_ready:
            event_id = request.headers.get(EVENT_ID) or state_of(request).id.decode("ascii")
            text = f"Model {key.partition(':')[0]} is ready (event_id = {event_id})"
            return respond(200, None, TEXT_LINE, text.encode("utf-8", "replace"))
        status, lines = 408, TEXT_LINE
        if self._is_strict:
            status, lines = 503, TEXT_LINE + b"retry-after: %d\r\n" % RETRY_AFTER_S
        text = "model not ready" + _failure_of(served)
        return respond(status, None, lines, text.encode("utf-8", "replace"))

    # Of the server

    def info(self, **state: bool) -> bytes:
        """Return what serves here. `state`: what clients of other protocols look for, besides."""
        router = front_router(self._models.root)
        return to_json(
            {
                "name": _ROUTER if router is None else router.router_class,
                "version": "v2",
                "extensions": [],
                **state,
            }
        )

    def listing(self) -> bytes:
        """Return all models; with a router at the root as that router tells it."""
        keys = list(self._models.keys)
        router = front_router(self._models.root)
        listed: dict[str, Any] = {"models": keys} if router is None else router.listing(keys)
        return to_json(listed)

    def unknown_model(self, key: str) -> MlrunRefusal:
        known = list(self._models.keys)
        router = front_router(self._models.root)
        if router is not None and router.is_named:
            name = router.alias or key_of(router)
            known = [other for other in known if other not in (name, key_of(router))]
            known.append(f"{name} or an operation alone for ensemble operation")
        return self._not_there(f"model {key} doesnt exist, available models: {' | '.join(known)}")

    def illegal_path(self, path: str) -> MlrunRefusal:
        return self._not_there(f"illegal path prefix {path}, must start with /v2/models")

    def _not_there(self, text: str) -> MlrunRefusal:
        return MlrunRefusal("ValueError", text, 404 if self._is_strict else 400)

    def _not_known_yet(self, served: ServedModel, key: str) -> MlrunRefusal:
        """No worker has said what the model is written for."""
        text = f"model {key} is not ready{_failure_of(served) or ' yet'}"
        if self._is_strict:
            return MlrunRefusal("RuntimeError", text, 503, retry_after_s=RETRY_AFTER_S)
        return MlrunRefusal("RuntimeError", text, 400)


def _failure_of(served: ServedModel) -> str:
    """Return why a model could not be loaded, to go behind what is told of it; empty where nothing has failed."""
    failure = served.load_failure
    return "" if failure is None else f", its load failed: {failure.error}"


def _of_another_protocol(served: ServedModel) -> Exception:
    if served.interface == AUTO:
        return served.not_loaded()
    return ModelNotFound(
        f"Model {served.name} does not speak the protocol of /v2; it is served on /predictions/{served.name}."
    )
