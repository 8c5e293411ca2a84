"""The metadata of a model: defaults, `init_metadata()`, MODEL_METADATA, and what is allowed in them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from mms.interfaces.seldon.series import split_image
from mms.text.brief import brief

ENVIRONMENT_NAME = "MODEL_METADATA"

_log = logging.getLogger(__name__)

_ARRAY_TYPES = ("tensor", "ndarray", "tftensor")
_PLAIN_TYPES = ("strData", "binData")
DATA_TYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)


class SeldonInvalidMetadataError(Exception):
    """Metadata that does not follow the schema; the message names the member."""


def validate_model_metadata(
    metadata: Mapping[str, Any], image: str | None = None
) -> dict[str, Any]:
    """Return the metadata over defaults, which have the image's name and version (PREDICTIVE_UNIT_IMAGE by default).

    Raises SeldonInvalidMetadataError.
    """
    if image is None:
        image = os.environ.get("PREDICTIVE_UNIT_IMAGE")
    name, version = ("", "") if image is None else split_image(image)
    merged: dict[str, Any] = {
        "name": name,
        "versions": [version],
        "platform": "",
        "inputs": [],
        "outputs": [],
        "custom": {},
        **metadata,
    }
    for member, value in merged.items():
        check = _CHECKS.get(member)
        if check is None:
            raise SeldonInvalidMetadataError(
                f"{member} is not a member of metadata ({', '.join(_CHECKS)})"
            )
        check(member, value)
    return merged


def model_metadata(user_metadata: Any, image: str | None = None) -> dict[str, Any] | None:
    """Return what `/metadata` serves: MODEL_METADATA over `user_metadata` over the defaults; None if it is invalid.

    `user_metadata` is what `init_metadata()` returned, {} where there is none. What is wrong goes to the log.
    """
    if not isinstance(user_metadata, dict):
        _log.error("init_metadata must return dict")
        user_metadata = {}
    merged = {**user_metadata, **_environment_metadata()}
    try:
        return validate_model_metadata(merged, image)
    except SeldonInvalidMetadataError as error:
        _log.error("Invalid metadata: %s", error)
        return None


def _environment_metadata() -> dict[str, Any]:
    text = os.environ.get(ENVIRONMENT_NAME)
    if text is None:
        return {}
    # Here, as most workers have no such variable and the import takes time.
    from mms.text.documents import InvalidDocument, read_yaml

    try:
        found = read_yaml(text)
    except InvalidDocument as error:
        _log.error("%s is neither YAML nor JSON: %s", ENVIRONMENT_NAME, error)
        return {}
    if not isinstance(found, dict):
        _log.error("%s must be an object, not %r", ENVIRONMENT_NAME, found)
        return {}
    return found


def metadata_message(metadata: Mapping[str, Any] | None) -> Any:
    """Return the protobuf SeldonModelMetadata; empty for None, which stands for invalid metadata."""
    from google.protobuf import json_format

    from mms.interfaces.seldon.codec.messages import SeldonModelMetadata

    return json_format.ParseDict(
        dict(metadata or {}), SeldonModelMetadata(), ignore_unknown_fields=True
    )


# Checks: each raises SeldonInvalidMetadataError with the member's name.


def _check_text(member: str, value: Any) -> None:
    _check_type(member, value, str, "text")


def _check_type(member: str, value: Any, expected: type, word: str) -> None:
    if not isinstance(value, expected):
        raise SeldonInvalidMetadataError(f"{member} must be {word}, not {brief(value)}")


def _check_texts(member: str, value: Any) -> None:
    _check_type(member, value, list, "a list of texts")
    for index, text in enumerate(value):
        _check_text(f"{member}[{index}]", text)


def _check_whole_numbers(member: str, value: Any) -> None:
    _check_type(member, value, list, "a list of whole numbers")
    for index, number in enumerate(value):
        is_whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
        if isinstance(number, bool) or not is_whole:
            raise SeldonInvalidMetadataError(
                f"{member}[{index}] must be a whole number, not {brief(number)}"
            )


def _check_custom(member: str, value: Any) -> None:
    _check_type(member, value, dict, "an object of texts")
    for name, text in value.items():
        _check_text(f"{member}.{name}", text)


def _check_object(member: str, value: Any) -> None:
    _check_type(member, value, dict, "an object")


def _check_data_type(member: str, value: Any) -> None:
    if value not in DATA_TYPES:
        raise SeldonInvalidMetadataError(
            f"{member} must be one of {', '.join(DATA_TYPES)}, not {brief(value)}"
        )


def _check_array_schema(member: str, value: Any) -> None:
    _check_members(member, value, {"names": _check_texts, "shape": _check_whole_numbers})


def _check_members(
    member: str, value: Any, checks: Mapping[str, Callable[[str, Any], None]]
) -> None:
    _check_object(member, value)
    for name, part in value.items():
        if name not in checks:
            allowed = ", ".join(checks) or "none"
            raise SeldonInvalidMetadataError(f"{member} has {brief(name)} (allowed: {allowed})")
        checks[name](f"{member}.{name}", part)


def _check_tensors(member: str, value: Any) -> None:
    _check_type(member, value, list, "a list")
    for index, tensor in enumerate(value):
        _check_tensor(f"{member}[{index}]", tensor)


def _check_tensor(member: str, value: Any) -> None:
    """Check one input or output: by its `messagetype`, or of the later protocol, which has none."""
    _check_object(member, value)
    if "messagetype" not in value:
        checks = {"name": _check_text, "datatype": _check_data_type, "shape": _check_whole_numbers}
        _check_members(member, value, checks)
        return
    kind = value["messagetype"]
    checks = {"messagetype": _check_text}
    if kind in _ARRAY_TYPES:
        checks["schema"] = _check_array_schema
    elif kind not in _PLAIN_TYPES:
        checks["schema"] = _check_object
    _check_members(member, value, checks)


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "name": _check_text,
    "versions": _check_texts,
    "platform": _check_text,
    "inputs": _check_tensors,
    "outputs": _check_tensors,
    "custom": _check_custom,
}
