"""Errors in the form of OpenAI's API."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web

from mms.errors import ModelNotFound, ServerError
from mms.http.answers import error_headers, phrase_of
from mms.text.brief import brief

#: What OpenAI's server says of an error besides its message: its type and its code.
_KINDS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


#: Every library of OpenAI's sends it.
_OF_CLIENT: Final = "X-Stainless-Lang"


def is_openai_client(request: web.Request) -> bool:
    """Return whether a request is one of OpenAI's own libraries, on a path that other clients ask, too."""
    return _OF_CLIENT in request.headers


def no_such_model(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"There is no model {brief(name)} that answers OpenAI's clients. "
        "Models do that are registered with openai=true; GET /v1/models lists them."
    )


def error_document(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return the document of an error."""
    usual = ("server_error" if status >= 500 else "invalid_request_error", None)
    kind, usual_code = _KINDS.get(status, usual)
    told = {"message": message, "type": kind, "param": None, "code": code or usual_code}
    return {"error": told}


def document_of_error(error: ServerError) -> dict[str, Any]:
    """Return the document of an error of the server."""
    code = "model_not_found" if isinstance(error, ModelNotFound) else None
    status = error.http_status
    return error_document(status, error.message or phrase_of(status), code)


def error_form(error: ServerError) -> tuple[bytes, bytes]:
    """Return (header lines, body) of an error."""
    text = json.dumps(document_of_error(error), ensure_ascii=False)
    return error_headers(error), text.encode("utf-8", "backslashreplace")
