"""The form of answers on Seldon's routes: what Seldon's clients expect besides the body of a component."""

from __future__ import annotations

from collections.abc import Callable

from mms.errors import MethodNotAllowed, ResourceNotFound, ServerError
from mms.http.answers import AnswerLines, error_headers
from mms.interfaces.seldon.errors import INTERNAL_ERROR, error_body

_ANY_ORIGIN = b"Access-Control-Allow-Origin: *\r\n"
_NO_SNIFFING = b"X-Content-Type-Options: nosniff\r\n"


class StrictRefusal(ServerError):
    """A route or method that Seldon's wrapper does not have: 500, as it has it."""

    type_name = INTERNAL_ERROR


def strict_error(error: ServerError) -> ServerError:
    """Return the error as Seldon's wrapper has it: 500 for a path or method that is not there."""
    if not isinstance(error, ResourceNotFound | MethodNotAllowed):
        return error
    words = {404: "Not Found", 405: "Method Not Allowed"}
    status = error.http_status
    return StrictRefusal(f"{status} {words[status]}: {error.message}")


def error_form(error: ServerError) -> tuple[bytes, bytes]:
    """Return (header lines, body) of an error of this server's own, in the shape of those of Seldon's wrapper."""
    return error_headers(error), error_body(error.message or "", error.type_name)


def make_answer_lines(
    *, has_cors: bool, is_gateway: bool, model: str, namespace: str, path: str
) -> Callable[[bytes], AnswerLines]:
    """Return what makes the lines of a route's answers, given the headers of a request, as `Request.headers` has them.

    `has_cors`: any origin may read the answers. On the gateway's routes `Seldon-Puid` names the prediction, as the
    client did, else by the id of the request; who sends a CloudEvent gets the headers of one.
    """
    common = _ANY_ORIGIN if has_cors else b""
    if not is_gateway:
        return lambda headers: lambda request_id: common
    common += _NO_SNIFFING
    source = f"seldon.{model}"
    event = "".join(
        f"{name}: {value}\r\n"
        for name, value in (
            ("Ce-Specversion", "0.3"),
            ("Ce-Source", source),
            ("Ce-Type", f"{source}.{namespace}.response" if namespace else f"{source}.response"),
            ("Ce-Path", path),
        )
    ).encode("ascii", "replace")

    def lines_of(headers: bytes) -> AnswerLines:
        given = _first_value(headers, b"seldon-puid")
        is_event = bool(_first_value(headers, b"ce-specversion"))

        def lines(request_id: bytes) -> bytes:
            puid = given or request_id
            finished = b"%bSeldon-Puid: %b\r\n" % (common, puid)
            return b"%b%bCe-Id: %b\r\n" % (finished, event, puid) if is_event else finished

        return lines

    return lines_of


def _first_value(headers: bytes, wanted: bytes) -> bytes:
    parts = headers.split(b"\n")
    for name, value in zip(parts[::2], parts[1::2], strict=False):
        if name.lower() == wanted:
            return value
    return b""
