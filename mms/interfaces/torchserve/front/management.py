"""TorchServe's management API: the same operations as this server's own, in TorchServe's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from mms.bodies.charset import charset_of
from mms.errors import (
    BadRequest,
    Conflict,
    DownloadFailed,
    InternalServerError,
    MethodNotAllowed,
    ModelNotFound,
    ModelVersionNotFound,
    NameTaken,
    ServiceUnavailable,
    WorkerStartFailed,
)
from mms.http.answers import JSON_LINE
from mms.http.apis.model_asker import ModelAsker
from mms.http.apis.registration_parameters import members_of_body, registration_of, scaling_of
from mms.http.parameters import ParameterRule, Parameters
from mms.http.routing import MANAGEMENT_ROLE, OPEN, Route
from mms.http.routing.route import Handler
from mms.http.web.request import content_type_of, header_block, state_of
from mms.http.web.response import json_response, respond
from mms.interfaces.torchserve.front.calls import as_own, check_url, version_of
from mms.interfaces.torchserve.front.description import torchserve_description
from mms.interfaces.torchserve.front.management_document import management_document
from mms.interfaces.torchserve.front.paging import page, whole
from mms.interfaces.torchserve.front.tokens import TokenRing
from mms.interfaces.torchserve.operations import DESCRIBE
from mms.interfaces.torchserve.settings import TorchServeSettings
from mms.security.guard import JoinedKeys, presented_key
from mms.serving import Outcome
from mms.serving.model_client import ModelClient
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.security.guard import Guard
    from mms.serving import ModelHost
    from mms.serving.served import ServedModel
    from mms.settings import Settings

#: Larger JSON bodies are read beside the event loop.
_LOOP_BYTES: Final = 4096
_NO_WORKERS: Final = (
    'Model "{name}" Version: {version} registered with 0 initial workers. Use scale workers API to add workers for the '
    "model."
)
_PARTIAL: Final = 206


class ArchiveNotDownloaded(DownloadFailed):
    """As `DownloadFailed`, by TorchServe's name."""

    type_name = "DownloadArchiveException"


class Management:
    """TorchServe's operations on models, for REST and gRPC. Texts and errors are TorchServe's."""

    def __init__(self, settings: Settings, host: ModelHost) -> None:
        self._host = host
        self._client = ModelClient(host)
        self._store = Path(settings.model_store) if settings.model_store else None
        self._has_model_api = settings.of(TorchServeSettings).enable_model_api

    def __repr__(self) -> str:
        return f"<Management of {self._host!r}>"

    def check_model_api(self) -> None:
        """Raises MethodNotAllowed where clients may not register and unregister."""
        if not self._has_model_api:
            raise MethodNotAllowed

    async def register(self, given: Parameters, check: Callable[[Parameters], None]) -> Outcome:
        """Register a model. `check`: judges the parameters once they are read, before anything is done."""
        self.check_model_api()
        check_url(given.get("url"))
        parameters = as_own(given)
        options = registration_of(parameters, is_json=True)
        check(parameters)
        await self._check_is_new(options.url)
        try:
            outcome = await self._host.operations.whole(self._host.register(options))
        except (DownloadFailed, ModelNotFound) as error:
            if isinstance(error, ModelNotFound) and not options.url.lower().startswith("file://"):
                raise
            reason = (error.message or "").rpartition(", ")[2]
            raise ArchiveNotDownloaded(
                f"Failed to download archive from: {options.url}, {reason}"
            ) from None
        except NameTaken as error:
            raise Conflict(
                f"Model version {error.model_version or '1.0'} is already registered for model {error.model_name}"
            ) from None
        except WorkerStartFailed as error:
            error.message = f"Failed to start workers for model {error.model_name} version: {error.model_version}"
            raise
        if outcome.status != 200:
            return outcome
        name, version = outcome.model_name, outcome.model_version
        count = self._host.registry.get(name, version).min_workers
        text = f'Model "{name}" Version: {version} registered with {count} initial workers'
        if not count:
            text = _NO_WORKERS.format(name=name, version=version)
        return Outcome(200, None, text, outcome.without_effect)

    async def _check_is_new(self, url: str) -> None:
        """Raise TorchServe's error for an address whose file is in the model store by that name already."""
        name = url.partition("?")[0].rpartition("/")[2]
        if self._store is None or "://" not in url or not name:
            return
        if await asyncio.to_thread((self._store / name).exists):
            raise InternalServerError(f"Model file already exists {name}")

    async def scale(
        self, name: str, version: str | None, given: Parameters, check: Callable[[Parameters], None]
    ) -> Outcome:
        parameters = as_own(given)
        least = parameters.get("min_worker")
        if least is not None and int(least) < 0:
            # TorchServe runs into an index that there is none of.
            self._host.check_model(name, version)
            raise InternalServerError("min_worker cannot be negative.")
        most = parameters.get("max_worker")
        if most is not None and int(most) < (1 if least is None else int(least)):
            raise BadRequest("max_worker cannot be less than min_worker.")
        counts, changes = scaling_of(parameters)
        check(parameters)
        version = counts.model_version or version
        min_workers = 1 if counts.min_worker is None else counts.min_worker
        max_workers = min_workers if counts.max_worker is None else counts.max_worker
        is_synchronous = bool(counts.synchronous)
        host = self._host
        if changes:
            await host.operations.whole(host.change(name, version, changes, is_synchronous))
        scaling = host.scale(name, version, min_workers, max_workers, is_synchronous)
        try:
            outcome = await host.operations.whole(scaling)
        except WorkerStartFailed as error:
            shown = version or host.version_of(name)
            error.message = f"Failed to start workers for model {name} version: {shown}"
            raise
        if outcome.status == 200:
            of_version = f", version: {version}" if version else ""
            text = f"Workers scaled to {min_workers} for model: {name}{of_version}"
            return Outcome(200, None, text)
        # This server's own status for an incomplete scaling is one that HTTP does not have.
        return outcome if outcome.status == 202 else Outcome(_PARTIAL, None, outcome.text)

    async def unregister(self, name: str, version: str | None) -> Outcome:
        self.check_model_api()
        return await self._host.operations.whole(self._host.unregister(name, version))

    async def set_default(self, name: str, version: str) -> Outcome:
        self._host.check_model(name)
        if not self._host.has_model(name, version):
            raise ModelVersionNotFound(f"Model version {version} does not exist for model {name}")
        return await self._host.operations.whole(self._host.set_default(name, version))

    def models(self, limit: int, token: int) -> dict[str, Any]:
        """Return a page of the default versions, by name."""
        rows = [{"modelName": name, "modelUrl": url} for name, url in self._host.list_models()]
        return page(rows, "models", limit, token)

    async def describe(self, name: str, version: str | None) -> list[dict[str, Any]]:
        served = await self._host.registry.get(name, version).woken()
        return [await self._description(served)]

    async def describe_all(self, name: str) -> list[dict[str, Any]]:
        return [await self._description(each) for each in self._host.registry.versions(name)]

    async def _description(self, served: ServedModel) -> dict[str, Any]:
        own = await self._host.describe(served.name, served.version)
        return torchserve_description(own, getattr(served, "model_config", {}))

    async def describe_customized(
        self, name: str, version: str | None, *, id: bytes, headers: bytes
    ) -> list[dict[str, Any]]:
        """Return the description with what the model's own code says of it. Raises ServiceUnavailable."""
        served = await self._host.registry.get(name, version).woken()
        if not served.max_workers:
            raise ServiceUnavailable(
                f'Model "{name}" has no worker to serve describe request. Please use scale workers API to add workers.'
            )
        answer = await self._client.ask(
            name,
            version,
            id=id,
            headers=headers,
            content_type=b"",
            body=b"",
            operation=ModelOperation(DESCRIBE),
        )
        description = await self._description(served)
        told = bytes(answer.body) if answer.is_success else b""
        description["customizedMetadata"] = _object_of(told)
        return [description]


def _object_of(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class ManagementRoutes:
    """The rows of TorchServe's management API over HTTP."""

    def __init__(
        self, settings: Settings, host: ModelHost, asker: ModelAsker, rule: ParameterRule
    ) -> None:
        self.management = Management(settings, host)
        #: Where requests need keys: who checks them.
        self.guard: Guard | None = None
        self._host = host
        self._asker = asker
        self._rule = rule

    def __repr__(self) -> str:
        return f"<ManagementRoutes of {self._host!r}>"

    def routes(self) -> list[Route]:
        rows: list[tuple[str, dict[str, Handler]]] = [
            ("/models", {"GET": self._list, "POST": self._register}),
            ("/models/{model_name}/all", {"GET": self._describe_all}),
            ("/v1/models/{model_name}", {"GET": self._is_ready}),
        ]
        of_model: dict[str, Handler] = {
            "GET": self._describe,
            "PUT": self._scale,
            "DELETE": self._unregister,
        }
        rows += [
            ("/models/{model_name}", {**of_model, "OPTIONS": self._describe_api}),
            ("/models/{model_name}/{model_version}", of_model),
            ("/models/{model_name}/{model_version}/set-default", {"PUT": self._set_default}),
        ]
        tokens = self._tokens()
        # Who asks for a token has the third one, which is for nothing else.
        of_tokens = [] if tokens is None else [Route(("GET",), "/token", self._rotate, OPEN)]
        return of_tokens + [
            Route(
                (method,),
                pattern,
                handler,
                MANAGEMENT_ROLE,
                applies=_applies if pattern.endswith("/all") else None,
            )
            for pattern, methods in rows
            for method, handler in methods.items()
        ]

    def _tokens(self) -> TokenRing | None:
        if self.guard is None:
            return None
        ring = self.guard.ring
        rings = ring.rings if isinstance(ring, JoinedKeys) else (ring,)
        return next((ring for ring in rings if isinstance(ring, TokenRing)), None)

    async def _rotate(self, request: web.Request) -> web.StreamResponse:
        tokens = self._tokens()
        assert tokens is not None and self.guard is not None
        given = state_of(request).parameters()
        kind = given.get("type", "")
        self._rule.check(state_of(request), given)
        presented = presented_key(request.raw_headers)
        await asyncio.to_thread(tokens.rotate, kind, presented)
        self.guard.check()
        return respond(200, None, JSON_LINE, b"")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        given = state_of(request).parameters()
        limit, token = whole(given.get("limit"), -1), whole(given.get("next_page_token"), 0)
        self._rule.check(state_of(request), given)
        return json_response(self.management.models(limit, token))

    async def _register(self, request: web.Request) -> web.StreamResponse:
        # Before a body is read.
        self.management.check_model_api()
        given = await self._parameters(request)
        outcome = await self.management.register(given, self._check_of(request))
        state_of(request).warnings += outcome.without_effect
        return _told(outcome)

    async def _parameters(self, request: web.Request) -> Parameters:
        """Return those of the query, or of a JSON body."""
        media_type = content_type_of(request).partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            return state_of(request).parameters()
        body = await self._asker.read_body(request)
        charset = charset_of(content_type_of(request).decode("latin-1"))
        if len(body) <= _LOOP_BYTES:
            return Parameters(members_of_body(body, charset))
        return Parameters(await asyncio.to_thread(members_of_body, body, charset))

    def _check_of(self, request: web.Request) -> Callable[[Parameters], None]:
        return lambda parameters: self._rule.check(state_of(request), parameters)

    async def _scale(self, request: web.Request) -> web.StreamResponse:
        values = request.match_info
        given = state_of(request).parameters()
        outcome = await self.management.scale(
            values["model_name"], version_of(values), given, self._check_of(request)
        )
        return _told(outcome)

    async def _unregister(self, request: web.Request) -> web.StreamResponse:
        values = request.match_info
        return _told(await self.management.unregister(values["model_name"], version_of(values)))

    async def _set_default(self, request: web.Request) -> web.StreamResponse:
        values = request.match_info
        return _told(
            await self.management.set_default(values["model_name"], values["model_version"])
        )

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        state = state_of(request)
        name, version = request.match_info["model_name"], version_of(request.match_info)
        given = state.parameters()
        is_customized = str(given.get("customized", "")).lower() == "true"
        self._rule.check(state, given)
        if not is_customized:
            return json_response(await self.management.describe(name, version))
        found = await self.management.describe_customized(
            name, version, id=state.id, headers=header_block(request)
        )
        return json_response(found)

    async def _describe_all(self, request: web.Request) -> web.StreamResponse:
        return json_response(await self.management.describe_all(request.match_info["model_name"]))

    async def _describe_api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["model_name"]
        self._host.check_model(name)
        return json_response(management_document(name))

    async def _is_ready(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["model_name"]
        return json_response({"name": name, "ready": self._host.is_ready(name)})


def _applies(method: str) -> bool:
    # A version of that name can be scaled and unregistered.
    return method == "GET"


def _told(outcome: Outcome) -> web.StreamResponse:
    return json_response({"status": outcome.text}, outcome.status, outcome.phrase)
