"""What a registration says, read from its query or its JSON body."""

from __future__ import annotations

import itertools
import re
from typing import Any

from mms.bodies.charset import decode
from mms.bodies.invalid_input import InvalidInput
from mms.errors import BadRequest
from mms.http.apis.lenient_json import LenientJsonError, loads
from mms.http.parameters import Parameters
from mms.http.routing.paths import parse_query
from mms.registration import (
    REGISTER,
    SCALE,
    InvalidCall,
    InvalidValue,
    ScaleParameters,
)
from mms.registration.kind import count_of
from mms.registration.naming import check_names_model
from mms.serving import RegisterOptions
from mms.text.brief import brief

_SURROGATE = re.compile("[\ud800-\udfff]")


def members_of_body(body: bytes | bytearray, charset: str) -> dict[str, Any]:
    """Return the object of a JSON body. Raises BadRequest."""
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
    """Raises BadRequest for a value that cannot be, and where nothing says what is to be registered."""
    try:
        check_names_model(RegisterOptions, parameters, is_json=is_json)
        members = RegisterOptions.read(parameters, REGISTER, is_json=is_json)
        return RegisterOptions().with_values(**members)
    except InvalidCall as error:
        raise BadRequest(str(error)) from None


def scaling_of(parameters: Parameters) -> tuple[ScaleParameters, dict[str, Any]]:
    """Return how many workers a model is to have, and what of its registration is to change. Raises BadRequest."""
    try:
        scaling = ScaleParameters(**ScaleParameters.read(parameters, SCALE, is_json=False))
        return scaling, RegisterOptions.read(parameters, SCALE, is_json=False)
    except InvalidCall as error:
        raise BadRequest(str(error)) from None


def integer_parameter(parameters: Parameters, name: str) -> int | None:
    """Return a whole number from 0 on; None where it is not given. Raises BadRequest."""
    value = parameters.get(name)
    if value is None or value == "":
        return None
    try:
        return count_of(value)
    except InvalidValue as error:
        raise BadRequest(f"Parameter {name} {error}") from None


def lenient_integer(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


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
