"""The management API: register, scale, describe, list, unregister models."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from archiver import INTERFACES, is_runtime
from mms.bodies.charset import charset_of, decode
from mms.bodies.invalid_input import InvalidInput
from mms.brief import brief
from mms.durations import bounded_s
from mms.errors import BadRequest, MethodNotAllowed, ServerError
from mms.http.exchange import Exchange
from mms.http.lenient_json import LenientJsonError, loads
from mms.http.parameters import ParameterRule, Parameters
from mms.serving import Outcome, RegisterOptions

if TYPE_CHECKING:
    from mms.serving import ModelHost

logger = logging.getLogger("mms.http")

_TRUE = ("yes", "true", "y", "1")
_FALSE = ("no", "false", "n", "0")
_MAX_LIMIT = 100
#: Beyond it numbers fit neither frames nor floats.
_HUGE = 10**18
#: What the event loop reads itself of lax JSON, which takes ten times as long as JSON.
_LOOP_BYTES = 4096
#: A JSON value as a text within a parameter, in characters.
_MAX_JSON_CHARS = 64 * 1024
_SHA256 = re.compile("(?:sha256:)?([0-9a-f]{64})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAN_POLICIES = ("null", "keep", "error")


class ManagementApi:
    """The routes of the management listener below `/models`."""

    def __init__(
        self,
        host: ModelHost,
        rule: ParameterRule,
        *,
        max_body_bytes: int,
        body_timeout_s: float,
    ) -> None:
        self._host = host
        self._rule = rule
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        #: Operations under way. They outlive the clients that asked for them.
        self._operations: set[asyncio.Task[Outcome]] = set()

    def __repr__(self) -> str:
        return f"<ManagementApi {len(self._operations)} operations under way>"

    async def serve(self, exchange: Exchange, segments: list[str]) -> web.StreamResponse | None:
        """The response, or None for a path that is not of this API."""
        if not segments or segments[0] != "models" or len(segments) > 4:
            return None
        method = exchange.method
        if len(segments) == 1:
            if method == "GET":
                return self._list(exchange)
            if method == "POST":
                return await self._register(exchange)
            raise MethodNotAllowed
        name = segments[1]
        version = segments[2] if len(segments) > 2 else None
        if len(segments) == 4:
            if segments[3] == "drift":
                return await self._drift(exchange, name, version)
            if segments[3] != "set-default" or version is None:
                return None
            if method != "PUT":
                raise MethodNotAllowed
            self._rule.check(exchange, exchange.parameters())
            return _told(exchange, await self._whole(self._host.set_default(name, version)))
        if version == "invoke":
            return None
        if version == "drift":
            return await self._drift(exchange, name, None)
        if method in ("GET", "DELETE"):
            self._rule.check(exchange, exchange.parameters())
        if method == "GET":
            if version == "all":
                return exchange.json(self._host.describe_all(name))
            return exchange.json(self._host.describe(name, version))
        if method == "PUT":
            return await self._scale(exchange, name, version)
        if method == "DELETE":
            return _told(exchange, await self._whole(self._host.unregister(name, version)))
        raise MethodNotAllowed

    async def _drift(
        self, exchange: Exchange, name: str, version: str | None
    ) -> web.StreamResponse:
        if exchange.method != "GET":
            raise MethodNotAllowed
        parameters = exchange.parameters()
        last = _count(parameters, "last", 0) or None
        self._rule.check(exchange, parameters)
        return exchange.json(await self._host.drift(name, version, last))

    def _list(self, exchange: Exchange) -> web.StreamResponse:
        parameters = exchange.parameters()
        limit = _lenient_integer(parameters.get("limit"), _MAX_LIMIT)
        if not 0 <= limit <= _MAX_LIMIT:
            limit = _MAX_LIMIT
        token = max(_lenient_integer(parameters.get("next_page_token"), 0), 0)
        self._rule.check(exchange, parameters)
        models = self._host.list_models()
        end = token + limit
        document: dict[str, Any] = {}
        if end < len(models):
            document["nextPageToken"] = str(end)
        document["models"] = [
            {"modelName": name, "modelUrl": url, "graph": self._graph_of(name)}
            for name, url in models[token:end]
        ]
        return exchange.json(document)

    def _graph_of(self, name: str) -> Any:
        """State and nodes of a graph, None for another model."""
        return self._host.describe(name)["graph"] if self._host.is_graph(name) else None

    async def _register(self, exchange: Exchange) -> web.StreamResponse:
        media_type = exchange.content_type().partition(b";")[0].strip().lower()
        is_json = media_type == b"application/json"
        if is_json:
            body = await exchange.read_body(self._max_body_bytes, self._body_timeout_s)
            charset = charset_of(exchange.content_type().decode("latin-1"))
            members = (
                _members(body, charset)
                if len(body) <= _LOOP_BYTES
                else await asyncio.to_thread(_members, body, charset)
            )
            notes = ["the query has no effect beside a JSON body"] if exchange.query else []
            parameters = Parameters(members, notes)
        else:
            has_body = exchange.request.body_exists
            notes = ["the body has no effect: it is not application/json"] if has_body else []
            parameters = Parameters.of_query(exchange.query, notes)
        options = _options(parameters, is_json=is_json)
        self._rule.check(exchange, parameters)
        if options.serving_spec is not None and not self._host.sources.urls.allows("serving_spec"):
            # It brings code, as an archive of an address that is not allowed would.
            raise BadRequest(
                "serving_spec brings code along, and is not taken here: allowed_urls says what models are from. One of "
                "its expressions that matches the word serving_spec allows it."
            )
        return _told(exchange, await self._whole(self._host.register(options)))

    async def _scale(
        self, exchange: Exchange, name: str, version: str | None
    ) -> web.StreamResponse:
        parameters = exchange.parameters()
        version = parameters.get("model_version") or version
        min_workers = _count(parameters, "min_worker", 1)
        max_workers = _count(parameters, "max_worker", min_workers)
        is_synchronous = _is_synchronous(parameters, False)
        changes = _changeable(parameters, is_json=False)
        self._rule.check(exchange, parameters)
        outcome = None
        if changes:
            changing = self._host.change(name, version, changes, is_synchronous)
            outcome = await self._whole(changing)
        if outcome is None or "min_worker" in parameters or "max_worker" in parameters:
            scaling = self._host.scale(name, version, min_workers, max_workers, is_synchronous)
            outcome = await self._whole(scaling)
        return _told(exchange, outcome)

    async def _whole(self, operation: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Run an operation to its end, whether or not its client stays: a half would leave workers or files behind."""
        task = asyncio.get_running_loop().create_task(operation)
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_without_client)
            raise

    async def close(self) -> None:
        """Cancel what is still under way."""
        tasks = list(self._operations)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell_without_client(task: asyncio.Task[Outcome]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        logger.info("%s (the client that asked for it has gone)", task.result().text)
    elif isinstance(error, ServerError):
        logger.warning("%s (the client that asked for it has gone)", error.message)
    else:
        logger.error("An operation whose client has gone failed", exc_info=error)


def _told(exchange: Exchange, outcome: Outcome) -> web.StreamResponse:
    return exchange.json({"status": outcome.text}, outcome.status, outcome.phrase)


def _members(body: bytes | bytearray, charset: str) -> dict[str, Any]:
    """The object of a JSON body. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("The JSON body is empty; an object with the member url is required.")
    try:
        value = loads(decode(body, charset, "The JSON body", "application/json"))
    except InvalidInput as error:
        raise BadRequest(str(error)) from None
    except LenientJsonError as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The JSON body is no object.")
    _check_texts(value)
    return value


def _check_texts(value: dict[str, Any]) -> None:
    """Raises BadRequest for a text anywhere in a value that UTF-8 cannot write, as no file, header or log can."""
    waiting: list[Any] = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += found.keys()
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, str) and not found.isascii() and _SURROGATE.search(found):
            raise BadRequest(
                f"The JSON body's {brief(found)} has half of a character (a lone surrogate), which no UTF-8 has."
            )


def _options(parameters: Parameters, *, is_json: bool) -> RegisterOptions:
    url = _text(parameters, "url")
    prepackaged = _text(parameters, "prepackaged") or None
    model_uri = _text(parameters, "model_uri") or None
    if url is None and prepackaged is not None:
        if model_uri is None:
            raise BadRequest("Parameter model_uri is required where prepackaged comes without url.")
        url = ""
    spec = parameters.get("serving_spec") if is_json else None
    if url is None and spec is not None:
        url = ""
    if url is None:
        raise BadRequest("Parameter url is required.")
    runtime = _text(parameters, "runtime")
    if runtime is not None and not is_runtime(runtime):
        raise BadRequest(f"Invalid RuntimeType value: {runtime}")
    options = RegisterOptions(url, **_changeable(parameters, is_json=is_json))
    options.sha256 = _digest(parameters, "sha256")
    options.runtime = runtime
    options.model_name = _text(parameters, "model_name") or None
    options.handler = _text(parameters, "handler") or None
    options.gpu_ids = _gpu_ids(parameters)
    if parameters.get("initial_workers") not in (None, ""):
        options.initial_workers = _integer(parameters, "initial_workers", 0)
    options.synchronous = _is_synchronous(parameters, True)
    options.preload_model = _preload(parameters)
    options.install_requirements = _word(
        parameters, "install_requirements", ("off", "folder", "venv")
    )
    options.initialize_errors = _word(parameters, "initialize_errors", ("fail", "ignore"))
    options.interface = _word(parameters, "interface", INTERFACES)
    options.service_type = _text(parameters, "service_type") or None
    options.parameters = _component_parameters(parameters)
    options.model_uri = model_uri
    options.prepackaged = prepackaged
    options.predictor = _text(parameters, "predictor") or None
    if parameters.get("row_batching") not in (None, ""):
        options.row_batching = _boolean(parameters, "row_batching", False)
    if parameters.get("validate_inputs") not in (None, ""):
        options.validate_inputs = _boolean(parameters, "validate_inputs", False)
    options.mlrun = _server_options(parameters)
    options.tracking = parameters.get("tracking")
    options.serving_spec = spec
    return options


def _changeable(parameters: Mapping[str, Any], *, is_json: bool) -> dict[str, Any]:
    """What a registration says of batches, times and retries: members of `RegisterOptions` that may change later."""
    found: dict[str, Any] = {}
    if parameters.get("batch_size") not in (None, ""):
        found["batch_size"] = max(_integer(parameters, "batch_size", 1), 1)
    if parameters.get("max_batch_delay") not in (None, ""):
        found["max_batch_delay_ms"] = max(_integer(parameters, "max_batch_delay", 100), 0)
    if parameters.get("job_queue_size") not in (None, ""):
        found["job_queue_size"] = max(_count(parameters, "job_queue_size", 1), 1)
    timeout = _integer(parameters, "response_timeout", -1)
    if timeout >= 0:
        # MMS counts it in minutes in a query and in seconds in JSON.
        found["response_timeout_s"] = bounded_s(timeout, 1.0 if is_json else 60.0)
    for name in ("load_timeout", "request_timeout"):
        if (seconds := _seconds(parameters, name)) is not None:
            found[f"{name}_s"] = seconds
    if parameters.get("max_queue_time_ms") not in (None, ""):
        found["max_queue_time_ms"] = _count(parameters, "max_queue_time_ms", 0)
    if (policy := _word(parameters, "batch_policy", ("adaptive", "fixed"))) is not None:
        found["batch_policy"] = policy
    if parameters.get("retry") not in (None, ""):
        found["retry"] = _boolean(parameters, "retry", True)
    return found


def _gpu_ids(parameters: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Numbers with commas between them, or a list of JSON; `deviceIds` is TorchServe's name."""
    name = "gpu_ids" if parameters.get("gpu_ids") not in (None, "") else "deviceIds"
    value = parameters.get(name)
    if value in (None, ""):
        return None
    parts = value if isinstance(value, list) else str(value).strip("[] ").split(",")
    if not parts or not all(
        str(part).strip().isascii() and str(part).strip().isdigit() for part in parts
    ):
        raise BadRequest(
            f"Parameter {name} must be numbers of GPUs such as 0,2, not {brief(value)}."
        )
    return tuple(int(str(part)[:9]) for part in parts)


def _server_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a registration says of a model server of MLRun, as members of `RegisterOptions.mlrun`."""
    found: dict[str, Any] = {}
    for name in ("model_path", "input_path", "result_path"):
        if (text := _text(parameters, name)) is not None:
            found[name] = text
    for name, words in (("load_mode", ("sync", "async")), ("nan_policy", _NAN_POLICIES)):
        if (word := _word(parameters, name, words)) is not None:
            found[name] = word
    for name in ("row_wise", "strict_status"):
        if parameters.get(name) not in (None, ""):
            found[name] = _boolean(parameters, name, False)
    for name in ("class_args", "function_parameters"):
        if parameters.get(name) not in (None, ""):
            found[name] = _object(parameters, name)
    return found


def _object(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A JSON object: as text in a query, as it is in a JSON body."""
    document = _json_value(parameters, name)
    if not isinstance(document, dict):
        raise BadRequest(f"Parameter {name} must be a JSON object, not {brief(document)}.")
    return document


def _component_parameters(parameters: Mapping[str, Any]) -> Any:
    """The list of a component's parameters, not yet checked: JSON in a query, JSON or a list in a JSON body."""
    return (
        () if parameters.get("parameters") in (None, "") else _json_value(parameters, "parameters")
    )


def _json_value(parameters: Mapping[str, Any], name: str) -> Any:
    """A value that is JSON as text in a query, and text or JSON in a JSON body."""
    value = parameters[name]
    if not isinstance(value, str):
        return value
    if len(value) > _MAX_JSON_CHARS:
        raise BadRequest(
            f"Parameter {name} is a text of {len(value)} characters; more than {_MAX_JSON_CHARS} are read only where "
            "the JSON is not within a text."
        )
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Parameter {name} is not valid JSON: {error}") from None


def _text(parameters: Mapping[str, Any], name: str) -> str | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _HUGE):
        return str(value)
    raise BadRequest(f"Parameter {name} must be a text, not {brief(value)}.")


def _digest(parameters: Mapping[str, Any], name: str) -> str | None:
    value = _text(parameters, name)
    if not value:
        return None
    found = _SHA256.fullmatch(value.strip().lower())
    if found is None:
        raise BadRequest(
            f"Parameter {name} must be a SHA-256 of 64 hexadecimal digits, not {brief(value)}."
        )
    return found[1]


def _integer(parameters: Mapping[str, Any], name: str, default: int) -> int:
    value = parameters.get(name)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise BadRequest(f"Parameter {name} must be a whole number, not {brief(value)}.") from None
    if abs(number) >= _HUGE:
        raise BadRequest(
            f"Parameter {name} must be a whole number of at most 18 digits, not {brief(value)}."
        )
    return number


def _seconds(parameters: Mapping[str, Any], name: str) -> float | None:
    value = parameters.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        seconds = float(value)
    except (ValueError, TypeError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise BadRequest(
            f"Parameter {name} must be a number of seconds from 0 on, not {brief(value)}."
        )
    return bounded_s(seconds)


def _count(parameters: Mapping[str, Any], name: str, default: int) -> int:
    value = _integer(parameters, name, default)
    if value < 0:
        raise BadRequest(f"Parameter {name} must be 0 or more, not {brief(value)}.")
    return value


def _lenient_integer(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def _boolean(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise BadRequest(f"Parameter {name} must be true or false, not {brief(value)}.")


def _is_synchronous(parameters: Parameters, default: bool) -> bool:
    """`true` in any case is true and every other text false, as in MMS, where Java reads it."""
    value = parameters.get("synchronous")
    if value is None or isinstance(value, bool):
        return default if value is None else value
    if not isinstance(value, str):
        raise BadRequest(f"Parameter synchronous must be true or false, not {brief(value)}.")
    word = value.lower()
    if word not in ("true", "false"):
        parameters.note(f"synchronous={brief(value)} means false; only true is true")
    return word == "true"


def _preload(parameters: Mapping[str, Any]) -> bool | None:
    if parameters.get("preload_model") in (None, ""):
        return None
    return _boolean(parameters, "preload_model", False)


def _word(parameters: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str | None:
    value = _text(parameters, name)
    if not value:
        return None
    if value not in words:
        raise BadRequest(f"Parameter {name} must be {' or '.join(words)}, not {brief(value)}.")
    return value
