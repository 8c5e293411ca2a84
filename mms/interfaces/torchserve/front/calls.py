"""Calls of TorchServe's management API, as this server's: names, units, and values that TorchServe overlooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mms.errors import BadRequest, ModelNotFound
from mms.http.parameters import Parameters
from mms.text.brief import brief

#: A text that is no number counts as if it were not there.
_NUMBERS: Final = (
    *("batch_size", "max_batch_delay", "initial_workers", "response_timeout", "startup_timeout"),
    *("min_worker", "max_worker"),
)
#: What TorchServe reads from a scaling and does nothing with.
_IDLE: Final = ("number_gpu", "timeout")
#: No time at all, in seconds: this server takes 0 for no limit.
_NO_TIME_S: Final = 1e-9


def as_own(given: Parameters) -> Parameters:
    """Return a call's parameters by this server's names, to be read as those of a JSON body: times are in seconds.

    Raises BadRequest for what this server cannot do.
    """
    found: dict[str, Any] = {}
    notes = []
    for name in given:
        value = given[name]
        if name in _NUMBERS and not _is_number(value):
            if value != "":
                notes.append(f"{name}={brief(value)} is no whole number and has no effect")
            continue
        if name in _IDLE:
            notes.append(f"{name} has no effect")
            continue
        if name == "s3_sse_kms":
            if str(value).lower() == "true":
                raise BadRequest(
                    "Parameter s3_sse_kms is not supported: register the object by its url s3://bucket/key, which is "
                    "read with the server's own AWS credentials."
                )
            continue
        if name == "startup_timeout":
            name, value = "load_timeout", float(value) or _NO_TIME_S
            if value < 0:
                continue
        found[name] = value
    return Parameters(found, notes)


def check_url(url: Any) -> None:
    """Raise TorchServe's errors for urls that it refuses at sight."""
    if url is None:
        raise BadRequest("Parameter url is required.")
    text = str(url)
    if not text:
        raise ModelNotFound("empty url")
    if ".." in text:
        raise ModelNotFound(f"Relative path is not allowed in url: {text}")


def version_of(found: Mapping[str, str]) -> str | None:
    """Return the version that a path names; an empty segment names none."""
    return found.get("model_version") or None


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(value).is_integer() and abs(int(value)) < 2**31
    except (ValueError, TypeError, OverflowError):
        return False
