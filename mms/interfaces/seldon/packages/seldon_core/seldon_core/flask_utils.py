"""The error that components raise, and the names of annotations."""

from __future__ import annotations

from typing import Any

from mms.interfaces.seldon.errors import SeldonMicroserviceException as SeldonMicroserviceException

ANNOTATIONS_FILE = "/etc/podinfo/annotations"
ANNOTATION_GRPC_MAX_MSG_SIZE = "seldon.io/grpc-max-message-size"
ANNOTATION_REST_TIMEOUT = "seldon.io/rest-timeout"
#: Seconds.
DEFAULT_ANNOTATION_REST_TIMEOUT = 5000


def get_request(skip_decoding: bool = False) -> Any:
    """The message of Flask's request, decoded, or `skip_decoding` as it came. Raises SeldonMicroserviceException."""
    from flask import request

    from mms.interfaces.seldon.codec.body import read_json_body, read_undecoded_body

    body = request.get_data(cache=True, parse_form_data=False)
    content_type = (request.content_type or "").encode()
    read = read_undecoded_body if skip_decoding else read_json_body
    return read(content_type, request.query_string, body)


def get_multi_form_data_request() -> Any:
    """The message of a multipart form in Flask's request."""
    return get_request()


def jsonify(response: Any, skip_encoding: bool = False) -> Any:
    """Flask's response with JSON; `skip_encoding`: of a text or bytes that are JSON already."""
    from flask import current_app

    from mms.interfaces.seldon.codec.json_text import dump_json

    body = response if skip_encoding else dump_json(response)
    return current_app.response_class(body, mimetype="application/json")
