"""The body of a request to a router or a model behind one: JSON, an image, or the address of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mms.bodies.json_text import from_json
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, with_strict_status

if TYPE_CHECKING:
    from mms.interfaces.mlrun.files.data_urls import DataUrls

INPUTS_KEYS = {"v1": "instances", "v2": "inputs"}


def parse_body(event: Any, *, protocol: str = "v2", takes_data_url: bool | DataUrls = False) -> Any:
    """Return a dict or list, of a body that is one or its JSON; {"inputs": [file]} of an image.

    `takes_data_url`: a member data_url is an address or path, and what is there becomes the input. With True anybody
    who may ask may have files and addresses read that this process reaches.
    Raises ValueError.
    """
    body = event.body
    inputs_key = INPUTS_KEYS.get(protocol, "inputs")
    try:
        if not isinstance(body, dict | list):
            body = from_json(body)
            if not isinstance(body, dict | list):
                raise TypeError(f"a body is a dict or a list, not {type(body).__name__}")
    except Exception as error:
        content_type = getattr(event, "content_type", None) or ""
        if content_type.startswith("image/") and isinstance(body, bytes | bytearray):
            return {inputs_key: [_file(bytes(body))]}
        raise with_strict_status(ValueError("Unrecognized request format"), 422) from error
    if isinstance(body, dict) and "data_url" in body:
        if not takes_data_url:
            raise MLRunInvalidArgumentError(
                "data_url is not read here: the setting mlrun_data_url allows it"
            )
        from mms.interfaces.mlrun.files.datastore import get_dataitem

        url = body["data_url"]
        if takes_data_url is True:
            return {inputs_key: [_file(get_dataitem(url).get())]}
        return {inputs_key: [_file(takes_data_url.read(str(url)))]}
    return body


def _file(content: bytes) -> Any:
    import io

    return io.BytesIO(content)
