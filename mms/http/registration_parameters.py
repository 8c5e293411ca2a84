"""What a registration says, read from its query or its JSON body."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from archiver import INTERFACES, is_runtime
from mms.bodies.charset import decode
from mms.bodies.invalid_input import InvalidInput
from mms.brief import brief
from mms.durations import bounded_s
from mms.errors import BadRequest
from mms.http.lenient_json import LenientJsonError, loads
from mms.http.parameters import Parameters
from mms.http.routing.paths import parse_query
from mms.serving import RegisterOptions

_TRUE = ("yes", "true", "y", "1")
_FALSE = ("no", "false", "n", "0")
#: Beyond it numbers fit neither frames nor floats.
_HUGE = 10**18
#: A JSON value as a text within a parameter, in characters.
_MAX_JSON_CHARS = 64 * 1024
_SHA256 = re.compile("(?:sha256:)?([0-9a-f]{64})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAN_POLICIES = ("null", "keep", "error")


def members_of_body(body: bytes | bytearray, charset: str) -> dict[str, Any]:
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
        raise BadRequest("The JSON body is not an object.")
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
                f"The JSON body's {brief(found)} has half of a character (a lone surrogate), which UTF-8 cannot hold."
            )


def registration_of(parameters: Parameters, *, is_json: bool) -> RegisterOptions:
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
    if url is None or not (url or prepackaged or spec is not None):
        raise BadRequest("Parameter url is required.")
    runtime = _text(parameters, "runtime")
    if runtime is not None and not is_runtime(runtime):
        raise BadRequest(f"Invalid RuntimeType value: {runtime}")
    options = RegisterOptions(url, **changes_of(parameters, is_json=is_json))
    options.sha256 = _digest(parameters, "sha256")
    options.runtime = runtime
    options.model_name = _text(parameters, "model_name") or None
    options.handler = _text(parameters, "handler") or None
    options.gpu_ids = _gpu_ids(parameters)
    if parameters.get("initial_workers") not in (None, ""):
        options.initial_workers = integer_of(parameters, "initial_workers", 0)
    options.synchronous = waits(parameters, True)
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
        options.row_batching = truth_of(parameters, "row_batching", False)
    if parameters.get("validate_inputs") not in (None, ""):
        options.validate_inputs = truth_of(parameters, "validate_inputs", False)
    options.mlrun = _server_options(parameters)
    options.tracking = parameters.get("tracking")
    options.serving_spec = spec
    return options


def changes_of(parameters: Mapping[str, Any], *, is_json: bool) -> dict[str, Any]:
    """What a registration says of batches, times and retries: members of `RegisterOptions` that may change later."""
    found: dict[str, Any] = {}
    if parameters.get("batch_size") not in (None, ""):
        found["batch_size"] = max(integer_of(parameters, "batch_size", 1), 1)
    if parameters.get("max_batch_delay") not in (None, ""):
        found["max_batch_delay_ms"] = max(integer_of(parameters, "max_batch_delay", 100), 0)
    if parameters.get("job_queue_size") not in (None, ""):
        found["job_queue_size"] = max(count_of(parameters, "job_queue_size", 1), 1)
    timeout = integer_of(parameters, "response_timeout", -1)
    if timeout >= 0:
        # MMS counts it in minutes in a query and in seconds in JSON.
        found["response_timeout_s"] = bounded_s(timeout, 1.0 if is_json else 60.0)
    for name in ("load_timeout", "request_timeout"):
        if (seconds := _seconds(parameters, name)) is not None:
            found[f"{name}_s"] = seconds
    if parameters.get("max_queue_time_ms") not in (None, ""):
        found["max_queue_time_ms"] = count_of(parameters, "max_queue_time_ms", 0)
    if (policy := _word(parameters, "batch_policy", ("adaptive", "fixed"))) is not None:
        found["batch_policy"] = policy
    if parameters.get("retry") not in (None, ""):
        found["retry"] = truth_of(parameters, "retry", True)
    return found


def check_url_is_whole(query: bytes, parameters: Parameters) -> None:
    """Raises BadRequest for a url whose own query was not percent-encoded, so that it ended at its first `&`."""
    for (name, value), (following, _) in itertools.pairwise(parse_query(query)):
        if (
            name == "url"
            and "?" in value
            and "://" in value
            and parameters.is_unheard_of(following)
        ):
            raise BadRequest(
                f"The url ended at the & before {following[:80]}, which is not a parameter of a registration: "
                'percent-encode the url (& as %26), or send it as JSON: {"url": "..."}.'
            )


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
            found[name] = truth_of(parameters, name, False)
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


def integer_of(parameters: Mapping[str, Any], name: str, default: int) -> int:
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


def count_of(parameters: Mapping[str, Any], name: str, default: int) -> int:
    value = integer_of(parameters, name, default)
    if value < 0:
        raise BadRequest(f"Parameter {name} must be 0 or more, not {brief(value)}.")
    return value


def lenient_integer(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def truth_of(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
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


def waits(parameters: Parameters, default: bool) -> bool:
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
    return truth_of(parameters, "preload_model", False)


def _word(parameters: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str | None:
    value = _text(parameters, name)
    if not value:
        return None
    if value not in words:
        raise BadRequest(f"Parameter {name} must be {' or '.join(words)}, not {brief(value)}.")
    return value
