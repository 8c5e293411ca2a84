"""Routes of the protocol's extensions: the model repository, statistics and configurations of models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from mms.bodies.large_json import apart, read_in_pieces
from mms.errors import BadRequest
from mms.http.answers import JSON_LINE
from mms.http.apis.model_asker import ModelAsker
from mms.http.routing import INFERENCE_ROLE, MANAGEMENT_ROLE, Route
from mms.http.routing.operation import JSON, OBJECT, TEXT, Operation, answer, object_of
from mms.http.routing.route import AnswerForm, Handler
from mms.http.web.request import state_of
from mms.http.web.response import respond
from mms.interfaces.oip.front.metadata import model_config
from mms.interfaces.oip.front.repository import ModelRepository
from mms.interfaces.oip.front.shared_memory import SharedMemory
from mms.interfaces.oip.front.statistics import model_statistics
from mms.security import Role
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.serving import ModelHost

#: Whether a row counts for the values of its variables.
Concerns = Callable[[Mapping[str, str]], bool]

_TAG: Final = "Open Inference"
_LISTING_ROLES: Final = (*INFERENCE_ROLE, *MANAGEMENT_ROLE)
_GET: Final = ("GET", "HEAD")
_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = f"{_MODEL}/versions/{{model_version}}"
_STORED: Final = "/v2/repository/models/{model}"
_MEMORY: Final = "/v2/systemsharedmemory"
_MEMORY_REGION: Final = f"{_MEMORY}/region/{{region}}"
#: The name of all models' statistics, which a model's own goes before.
_ALL: Final = "stats"

_ERROR: Final = object_of(["error"], error=TEXT)
_INDEX: Final = {
    "type": "array",
    "items": object_of(
        ["name", "state", "reason"], name=TEXT, version=TEXT, state=TEXT, reason=TEXT
    ),
}
_REGIONS: Final = {
    "type": "array",
    "items": object_of(
        ["name", "key", "offset", "byte_size"],
        name=TEXT,
        key=TEXT,
        offset={"type": "integer"},
        byte_size={"type": "integer"},
    ),
}
_REGION: Final = object_of(
    ["key", "byte_size"],
    key=TEXT,
    offset={"type": "integer"},
    byte_size={"type": "integer"},
)
_PARAMETERS: Final = object_of([], parameters=OBJECT)
_READY: Final = object_of([], ready={"type": "boolean", "description": "Those that serve alone."})
_STATISTICS: Final = object_of(["model_stats"], model_stats={"type": "array", "items": OBJECT})


class ExtensionRoutes:
    """Answers what clients ask besides health, metadata and inference."""

    def __init__(
        self,
        host: ModelHost,
        asker: ModelAsker,
        repository: ModelRepository,
        memory: SharedMemory,
        mark: AnswerForm,
    ) -> None:
        """`mark`: gives the errors of a request the protocol's form."""
        self._host = host
        self._asker = asker
        self._repository = repository
        self._memory = memory
        self._mark = mark

    def __repr__(self) -> str:
        return f"<ExtensionRoutes, {self._repository!r}>"

    def rows(self, concerns_server: Concerns, concerns_model: Concerns) -> list[Route]:
        """Return the rows. They count where the server, or a path's model, speaks this protocol."""
        rows = [
            self._row("POST", "/v2/repository/index", self._index, _LISTING_ROLES),
            self._row("POST", f"{_STORED}/load", self._load, MANAGEMENT_ROLE),
            self._row("POST", f"{_STORED}/unload", self._unload, MANAGEMENT_ROLE),
            *self._memory_rows(concerns_server),
            self._row(
                "GET",
                f"/v2/models/{_ALL}",
                self._statistics,
                applies=self._is_free,
                concerns=concerns_server,
            ),
        ]
        for base in (_MODEL, _VERSION):
            rows.append(
                self._row("GET", f"{base}/stats", self._statistics, concerns=concerns_model)
            )
            rows.append(self._row("GET", f"{base}/config", self._config, concerns=concerns_model))
        return rows

    def _row(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        roles: tuple[Role, ...] = INFERENCE_ROLE,
        **more: Any,
    ) -> Route:
        return Route(
            _GET if method == "GET" else (method,),
            pattern,
            handler,
            roles,
            answer_form=self._mark,
            operations=(_OPERATIONS[pattern],),
            **more,
        )

    def _is_free(self, method: str) -> bool:
        return not self._host.registry.has_name(_ALL)

    # System shared memory

    def _memory_rows(self, concerns_server: Concerns) -> list[Route]:
        asked = (
            ("GET", "status", self._memory_status),
            ("POST", "unregister", self._unregister_memory),
        )
        rows = [
            self._row(
                method,
                f"{base}/{verb}",
                handler,
                concerns=concerns_server,
                changes_server=method == "POST",
            )
            for base in (_MEMORY, _MEMORY_REGION)
            for method, verb, handler in asked
        ]
        path = f"{_MEMORY_REGION}/register"
        register = self._register_memory
        rows.append(
            self._row("POST", path, register, concerns=concerns_server, changes_server=True)
        )
        return rows

    async def _memory_status(self, request: web.Request) -> web.StreamResponse:
        return _respond(self._memory.status(state_of(request).match.values.get("region")))

    async def _register_memory(self, request: web.Request) -> web.StreamResponse:
        self._memory.check_on()
        said = await self._object(request, ("key", "offset", "byte_size"))
        name = state_of(request).match.values["region"]
        self._memory.register(name, said.get("key"), said.get("offset", 0), said.get("byte_size"))
        return respond(200, None, JSON_LINE, b"")

    async def _unregister_memory(self, request: web.Request) -> web.StreamResponse:
        self._memory.unregister(state_of(request).match.values.get("region"))
        return respond(200, None, JSON_LINE, b"")

    # The repository

    async def _index(self, request: web.Request) -> web.StreamResponse:
        said = await self._read(request, ("ready",))
        is_ready = said.get("ready", False)
        if not isinstance(is_ready, bool):
            raise BadRequest(f"The member ready is {brief(is_ready)}; true or false is right.")
        rows = await self._repository.index(is_ready=is_ready)
        return _respond(
            [
                {
                    "name": row.name,
                    **({} if row.version is None else {"version": row.version}),
                    "state": row.state,
                    "reason": row.reason,
                }
                for row in rows
            ]
        )

    async def _load(self, request: web.Request) -> web.StreamResponse:
        parameters = await self._parameters(request)
        model = state_of(request).match.values["model"]
        await self._host.operations.whole(self._repository.load(model, parameters))
        return respond(200, None, JSON_LINE, b"")

    async def _unload(self, request: web.Request) -> web.StreamResponse:
        parameters = await self._parameters(request)
        model = state_of(request).match.values["model"]
        await self._host.operations.whole(self._repository.unload(model, parameters))
        return respond(200, None, JSON_LINE, b"")

    async def _parameters(self, request: web.Request) -> dict[str, Any]:
        """Raises BadRequest."""
        parameters = (await self._read(request, ("parameters",))).get("parameters", {})
        if not isinstance(parameters, dict):
            raise BadRequest(
                f"The member parameters is {brief(parameters)}; a JSON object is right."
            )
        return parameters

    async def _read(self, request: web.Request, known: tuple[str, ...]) -> dict[str, Any]:
        """Return the JSON object of a body, none for an empty one. Raises Forbidden, unread, and BadRequest."""
        self._repository.check_on()
        return await self._object(request, known)

    async def _object(self, request: web.Request, known: tuple[str, ...]) -> dict[str, Any]:
        """Return the JSON object of a body, none for an empty one. Raises BadRequest."""
        body = await self._asker.read_body(request)
        if not body.strip():
            return {}
        try:
            said = await apart(len(body), read_in_pieces, body, json.loads)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"The body is not valid JSON: {error}") from None
        if not isinstance(said, dict):
            raise BadRequest(f"The body is {brief(said)}; a JSON object is right.")
        unknown = [name for name in said if name not in known]
        if unknown:
            raise BadRequest(f"There is no member {brief(unknown[0])}; there is {known[0]}.")
        return said

    # Models

    async def _statistics(self, request: web.Request) -> web.StreamResponse:
        values = state_of(request).match.values
        found = model_statistics(self._host, values.get("model"), values.get("model_version"))
        return _respond(found)

    async def _config(self, request: web.Request) -> web.StreamResponse:
        values = state_of(request).match.values
        return _respond(
            await model_config(self._host, values["model"], values.get("model_version"))
        )


def _respond(document: Any) -> web.StreamResponse:
    return respond(200, None, JSON_LINE, orjson.dumps(document))


def _operation(
    method: str, id_: str, text: str, schema: Any, body: Any, **refusals: str
) -> Operation:
    """`schema`: of the answer, None for one without a body."""
    responses = {"200": {"description": "Done."} if schema is None else answer("OK", schema)}
    responses |= {code.lstrip("_"): answer(why, _ERROR) for code, why in refusals.items()}
    if body is None:
        return Operation(method, id_, text, responses, tag=_TAG)
    content = {"required": False, "content": {JSON: {"schema": body}}}
    return Operation(method, id_, text, responses, body=content, tag=_TAG)


_OFF: Final = "Clients may not manage models here: the setting oip_repository."
_NO_KEY: Final = "The request has no key that is known."
_NO_MEMORY: Final = "The setting oip_shared_memory is off."
_ABSENT: Final = "There is no such model, or version of it."
_OPERATIONS: Final = {
    "/v2/repository/index": _operation(
        *("post", "repositoryIndex", "The models that are loaded or could be."),
        *(_INDEX, _READY),
        _400="The body is wrong.",
        _401=_NO_KEY,
        _403=_OFF,
    ),
    f"{_STORED}/load": _operation(
        "post",
        "repositoryLoad",
        "Load a model of the store, or load it anew; the answer comes when it serves.",
        *(None, _PARAMETERS),
        _400="The model cannot be loaded so.",
        _401=_NO_KEY,
        _403=_OFF,
        _404=_ABSENT,
        _409="What is loaded of it cannot be loaded anew by its name.",
        _500="The model could not be loaded.",
    ),
    f"{_STORED}/unload": _operation(
        *("post", "repositoryUnload", "Unload a model once it has answered what it had accepted."),
        *(None, _PARAMETERS),
        _400="There is no such parameter.",
        _401=_NO_KEY,
        _403=_OFF,
        _404=_ABSENT,
        _409="Others depend on it.",
        _500="The server failed.",
    ),
    f"{_MEMORY}/status": _operation(
        *("get", "systemSharedMemory", "The registered regions of system shared memory."),
        *(_REGIONS, None),
        _501=_NO_MEMORY,
    ),
    f"{_MEMORY_REGION}/status": _operation(
        *("get", "systemSharedMemoryRegion", "A registered region of system shared memory."),
        *(_REGIONS, None),
        _400="It is not registered.",
        _501=_NO_MEMORY,
    ),
    f"{_MEMORY_REGION}/register": _operation(
        *("post", "registerSystemSharedMemory", "Register a region of system shared memory."),
        *(None, _REGION),
        _400="There is no such region.",
        _409="The name is taken.",
        _501=_NO_MEMORY,
    ),
    f"{_MEMORY}/unregister": _operation(
        *("post", "unregisterAllSystemSharedMemory", "Forget all regions."),
        *(None, None),
        _501=_NO_MEMORY,
    ),
    f"{_MEMORY_REGION}/unregister": _operation(
        *("post", "unregisterSystemSharedMemory", "Forget a region."),
        *(None, None),
        _501=_NO_MEMORY,
    ),
    f"/v2/models/{_ALL}": _operation(
        *("get", "statistics", "What all models have done since the start."),
        *(_STATISTICS, None),
    ),
    f"{_MODEL}/stats": _operation(
        *("get", "modelStatistics", "What a model has done since the start of the server."),
        *(_STATISTICS, None),
        _404=_ABSENT,
    ),
    f"{_VERSION}/stats": _operation(
        *("get", "versionStatistics", "What a version of a model has done since the start."),
        *(_STATISTICS, None),
        _404=_ABSENT,
    ),
    f"{_MODEL}/config": _operation(
        *("get", "modelConfig", "How a model runs, by Triton's names."),
        *(OBJECT, None),
        _404=_ABSENT,
    ),
    f"{_VERSION}/config": _operation(
        *("get", "versionConfig", "How a version of a model runs, by Triton's names."),
        *(OBJECT, None),
        _404=_ABSENT,
    ),
}
