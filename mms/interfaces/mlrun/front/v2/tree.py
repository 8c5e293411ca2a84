"""The tree `/v2`: MLRun's models, those of several functions side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mms.bodies.json_text import from_json
from mms.bodies.large_json import LOOP_BYTES, NestedTooDeep, apart, members_of
from mms.core import Registry
from mms.errors import BadRequest, ModelNotFound, ServiceUnavailable
from mms.http.answers import JSON_LINE, message_form
from mms.http.apis.model_asker import ModelAsker
from mms.http.interface_api import InterfaceApi
from mms.http.lane.head import LaneRoute
from mms.http.routing import (
    ANY_METHOD,
    INFERENCE_ROLE,
    NO_ROUTE,
    OPEN,
    Found,
    Match,
    Route,
    RouteTable,
    split_path,
)
from mms.http.routing.operation import Operation
from mms.http.web.request import state_of
from mms.http.web.response import respond
from mms.interfaces.mlrun.front.router import front_router
from mms.interfaces.mlrun.front.v2.models import (
    INTERFACE,
    V2Models,
    first_unready,
    is_router,
    key_of,
)
from mms.interfaces.mlrun.front.v2.operations import OPERATIONS, document
from mms.interfaces.mlrun.front.v2.responses import (
    EVENT_PATH,
    MlrunResponses,
    error_form,
)
from mms.interfaces.mlrun.front.v2.routes import PATTERNS, TREE, V2Kind, V2Path, find_v2, whole_path
from mms.interfaces.mlrun.routers.model_path import key_in
from mms.interfaces.mlrun.settings import MlrunSettings

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.serving.served.served_model import ServedModel
    from mms.settings import Settings

#: Operations that a path may name in a model's place: those of the router at the root.
_ROUTER_OPERATIONS = frozenset(("infer", "predict", "explain"))
_HEALTH = (V2Kind.HEALTH, V2Kind.LIVE, V2Kind.READY)
_TREE_PREFIX = f"{TREE}/"


class V2Api(InterfaceApi):
    """Answers what is asked below `/v2`, and at the root where a model of that tree has it."""

    def __init__(
        self,
        registry: Registry[Any],
        asker: ModelAsker,
        users_of: Callable[[str], Collection[str]],
        *,
        default_model: str | None,
        is_strict: bool,
        has_event_path: bool,
    ) -> None:
        """`users_of`: the graphs that a model is part of. `default_model`: key of the one at the root.
        `has_event_path`: a header may name another path."""
        self._asker = asker
        self._models = V2Models(registry, users_of, default_model)
        self._has_event_path = has_event_path
        self._responses = MlrunResponses(self._models, asker, is_strict=is_strict)
        #: What a header may lead to.
        self._own = RouteTable([*self.routes(), *self.routes_beside_others()])
        self._illegal = Found(self._row(V2Kind.ILLEGAL, "/{tail:.*}"), Match())

    @classmethod
    def of(cls, settings: Settings, host: ModelHost, asker: ModelAsker) -> V2Api:
        return cls(
            host.registry,
            asker,
            host.users_of,
            default_model=settings.default_model,
            is_strict=settings.of(MlrunSettings).strict_status,
            has_event_path=settings.of(MlrunSettings).mlrun_event_headers,
        )

    def __repr__(self) -> str:
        return f"<V2Api {self._models!r}>"

    # Rows

    def routes(self) -> list[Route]:
        """Below `/v2`, and at the root where a model has it. They come before MMS's routes."""
        more = dict.fromkeys((name for name in OPERATIONS if name not in PATTERNS), V2Kind.MODEL)
        return [
            self._row(V2Kind.ROOT, "/", applies=self._has_root_for),
            *(
                self._row(kind, pattern, operations=OPERATIONS.get(pattern, ()))
                for pattern, kind in {**more, **PATTERNS}.items()
            ),
        ]

    def routes_beside_others(self) -> list[Route]:
        """Return the rows of every path that nothing else has, while a model has the root. They come last."""
        return [
            self._row(V2Kind.GRAPH, "/{tail:.*}", applies=self._has_graph),
            self._row(V2Kind.ILLEGAL, f"/{TREE}/{{tail:.*}}", applies=self._has_owned_root),
        ]

    def _row(
        self,
        kind: V2Kind,
        pattern: str,
        *,
        applies: Callable[[str], bool] | None = None,
        operations: tuple[Operation, ...] = (),
    ) -> Route:
        is_open = kind in _HEALTH
        # Where a header may name another path, the fast path cannot tell what is asked.
        is_fast = kind in (V2Kind.MODEL, V2Kind.GRAPH, V2Kind.ROOT) and not self._has_event_path
        return Route(
            ANY_METHOD,
            pattern,
            partial(self._serve, kind),
            OPEN if is_open else INFERENCE_ROLE,
            answer_form=partial(self._mark, kind),
            fast_path=partial(self._lane_route, kind) if is_fast else None,
            applies=applies,
            leads_on=self._lead_on if self._has_event_path else None,
            operations=operations,
        )

    def _has_root_for(self, method: str) -> bool:
        """What servers describe themselves by, and what MMS refuses, while other models are there, stays MMS's."""
        models = self._models
        is_asking = method in ("GET", "HEAD")
        if models.root is None or method == "OPTIONS":
            return False
        return models.is_root_owned or not is_asking

    def _has_owned_root(self, method: str) -> bool:
        return self._models.is_root_owned and self._models.root is not None

    def _has_graph(self, method: str) -> bool:
        root = self._models.root
        return self._models.is_root_owned and root is not None and root.reads_paths

    def _lead_on(self, request: web.Request, found: Found) -> Found:
        """Return the row of the path that a header names. Raises BadRequest for one that is none."""
        path = request.headers.get(EVENT_PATH)
        if not path:
            return found
        other = self._own.match(path.encode("utf-8", "surrogateescape"), request.method)
        return self._illegal if other is NO_ROUTE else other

    # What a path means

    def _meaning(self, kind: V2Kind, path: bytes) -> V2Path:
        """Return what a path means whose row is of that kind."""
        models = self._models
        root = models.root
        segments = split_path(path)
        if kind is V2Kind.GRAPH or (kind is V2Kind.ROOT and root is not None and root.reads_paths):
            return whole_path(segments)
        found = find_v2(segments)
        if found is None:
            return V2Path(kind)
        if found.operation.startswith(_TREE_PREFIX):
            found = self._find_of_router(found)
        if root is None or found.kind not in (V2Kind.MODELS, V2Kind.MODEL):
            return found
        known = models.find(found.key) if found.key else None
        if root.reads_paths:
            is_free = known is not None and not models.is_child(known[0])
            return found if is_free else whole_path(segments)
        if (
            known is None
            and is_router(root)
            and found.key in _ROUTER_OPERATIONS
            and not found.operation
        ):
            return V2Path(V2Kind.MODEL, key_of(root), found.key)
        return found

    def _find_of_router(self, found: V2Path) -> V2Path:
        """Return what a path means whose operation is one of the tree's: as if the router before it stood alone."""
        known = self._models.find(found.key)
        if known is None or not is_router(known[0]) or known[0].reads_paths:
            # One in a worker reads the path itself, and of a model it is an operation that there is not.
            return found
        inner = find_v2(found.operation.split("/"))
        if inner is None or inner.kind is not V2Kind.MODEL:
            return inner or V2Path(V2Kind.ILLEGAL)
        router = self._models.find(inner.key)
        if router is None and inner.key in _ROUTER_OPERATIONS and not inner.operation:
            return V2Path(V2Kind.MODEL, found.key, inner.key)
        in_front = front_router(known[0])
        if in_front is not None and inner.key == in_front.alias:
            return V2Path(V2Kind.MODEL, found.key, inner.operation)
        return inner

    def _mark(self, kind: V2Kind, request: web.Request) -> None:
        """Give the errors of a request MLRun's form where they concern its models."""
        known = self._asked(self._meaning(kind, state_of(request).match.path))
        if known is not None:
            is_its_own = self._models.speaks(known[0])
        elif kind is V2Kind.MODEL or kind in _HEALTH:
            # Clients of other models ask the same.
            is_its_own = self._models.are_alone
            state_of(request).error_form = message_form
        else:
            is_its_own = bool(self._models.keys)
        if is_its_own:
            state_of(request).error_form = error_form

    def _lane_route(self, kind: V2Kind, match: Match) -> LaneRoute | None:
        """Return the route where the lane can serve it: POST to one model."""
        found = self._meaning(kind, match.path)
        known = self._asked(found)
        if known is None:
            return None
        if known[0].interface != INTERFACE:
            return None
        text = _graph_path(found)
        return self._responses.route(*known, "" if text else found.operation, "POST", text)

    def _asked(self, found: V2Path) -> tuple[ServedModel, str | None] | None:
        """Return the model that a path alone names."""
        if found.kind is V2Kind.MODEL:
            return self._models.find(found.key)
        if found.kind is V2Kind.GRAPH and self._models.root is not None:
            return self._models.root, self._models.root.version
        return None

    # Answers

    async def _serve(self, kind: V2Kind, request: web.Request) -> web.StreamResponse:
        """Return the response. Raises the errors of the front."""
        found = self._meaning(kind, state_of(request).match.path)
        kind = found.kind
        is_asking = request.method in ("GET", "HEAD")
        if kind is V2Kind.ILLEGAL:
            raise self._responses.illegal_path(state_of(request).path.decode("latin-1"))
        known = self._asked(found)
        if known is not None:
            return await self._serve_model(request, found, known)
        if kind is V2Kind.MODEL:
            if not self._models.are_alone:
                raise ModelNotFound(f"Model not found: {found.key}")
            raise self._responses.unknown_model(found.key)
        if request.method == "OPTIONS":
            return respond(200, None, JSON_LINE, document(""))
        if kind is V2Kind.LIVE:
            return respond(200, None, JSON_LINE, self._responses.info(live=True))
        if kind is V2Kind.HEALTH or (kind is V2Kind.ROOT and is_asking):
            return respond(200, None, JSON_LINE, self._responses.info())
        if kind is V2Kind.READY:
            return self._ready(request)
        return await self._serve_body(request, found)

    async def _serve_model(
        self, request: web.Request, found: V2Path, known: tuple[ServedModel, str | None]
    ) -> web.StreamResponse:
        served, version = known
        text = _graph_path(found)
        return await self._responses.serve(
            request, served, version, "" if text else found.operation, key=found.key, path=text
        )

    async def _serve_body(self, request: web.Request, found: V2Path) -> web.StreamResponse:
        """Return where the body says which model: at the root, and where the path names none."""
        root = self._models.root
        is_at_root = found.kind is V2Kind.ROOT
        in_front = front_router(root)
        takes_all = in_front is not None and in_front.takes_all_bodies
        is_listing = request.method in ("GET", "HEAD")
        if not is_at_root and (is_listing or not request.body_exists):
            return respond(200, None, JSON_LINE, self._responses.listing())
        body = await self._asker.read_body(request)
        key = await apart(len(body), self._model_beside if takes_all else _model_in, body)
        if key is not None:
            known = self._models.find(key)
            if known is None:
                raise self._responses.unknown_model(key)
            return await self._responses.serve(request, *known, "", key=key, body=body)
        if not is_at_root or root is None:
            return respond(200, None, JSON_LINE, self._responses.listing())
        return await self._responses.serve(request, root, root.version, "", body=body)

    def _model_beside(self, body: bytes | bytearray) -> str | None:
        """Return the model that a body names if it is none of the router's that else takes all bodies."""
        try:
            key = _model_in(body)
        except BadRequest:
            return None
        known = None if key is None else self._models.find(key)
        if known is None or known[0] is self._models.root or self._models.is_child(known[0]):
            return None
        return key

    def _ready(self, request: web.Request) -> web.StreamResponse:
        """Return whether all models that have workers to wait for are loaded."""
        waiting = first_unready(self._models.all())
        if waiting is None:
            return respond(200, None, JSON_LINE, self._responses.info(ready=True))
        which = f"model {key_of(waiting)}" if state_of(request).is_trusted else "a model"
        raise ServiceUnavailable(f"{which} is not ready yet", retry_after_s=1)


def _graph_path(found: V2Path) -> str:
    return f"/{found.operation}" if found.kind is V2Kind.GRAPH else ""


def _model_in(body: bytes | bytearray) -> str | None:
    """Return the model that a body names, if it is a JSON object that does."""
    if b'"model"' not in body:
        return None
    try:
        # Of a large one nothing else is read: others would have to wait for all of it.
        value = (
            members_of(body, ("model", "version")) if len(body) > LOOP_BYTES else from_json(body)
        )
    except NestedTooDeep as error:
        raise BadRequest(f"The body cannot be read: {error}.") from None
    except ValueError:
        # What it is instead is the model's to say.
        return None
    try:
        return key_in(value) or None
    except ValueError as error:
        raise BadRequest(f"{error}.") from None
