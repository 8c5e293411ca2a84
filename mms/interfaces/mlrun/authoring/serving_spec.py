"""The document that a deployed function is made of, and where a process finds its own."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from mms.brief import brief
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError

#: Where MLRun mounts it, and the variable in which it comes otherwise.
SPEC_FILE = "/tmp/mlrun/serving-conf/serving_spec.json"
SPEC_VARIABLE = "SERVING_SPEC_ENV"
#: Which steps of a graph run in this process: those of this function, `*` for all.
CURRENT_FUNCTION_VARIABLE = "SERVING_CURRENT_FUNCTION"


#: Of a function's spec, what says how it is deployed.
OF_DEPLOYMENTS = ("replicas", "min_replicas", "max_replicas", "http_workers", "readiness_timeout")


def workers_of(spec: Mapping[str, Any]) -> int | None:
    """How many workers a function's models are to have; None where its spec does not say.

    As many requests as its replicas take at a time: `replicas`, else `min_replicas`, by what `with_http` says.
    Raises MLRunInvalidArgumentError for what is no number.
    """
    replicas = _count(spec, "replicas") or _count(spec, "min_replicas")
    each = _count(spec, "http_workers")
    return (replicas or 1) * (each or 1) if replicas or each else None


def _count(spec: Mapping[str, Any], name: str) -> int:
    value = spec.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MLRunInvalidArgumentError(f"{name} is {brief(value)}, but must be a whole number")
    return value


def read_serving_spec(
    environ: Mapping[str, str] = os.environ, file: str = SPEC_FILE
) -> dict[str, Any] | None:
    """The spec of this process: of the mounted file, else of the variable; None where there is neither.

    Raises MLRunInvalidArgumentError for what is none, OSError for a file that cannot be read.
    """
    if os.path.isfile(file):
        with open(file, encoding="utf-8") as source:
            return parse_serving_spec(source.read(), file)
    text = environ.get(SPEC_VARIABLE)
    return parse_serving_spec(text, f"the variable {SPEC_VARIABLE}") if text else None


def parse_serving_spec(text: str | bytes, source: str) -> dict[str, Any]:
    """A spec of its JSON. Raises MLRunInvalidArgumentError that names the source."""
    from mms.bodies.json_text import from_json

    try:
        document = from_json(text)
    except ValueError as error:
        raise MLRunInvalidArgumentError(f"{source} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MLRunInvalidArgumentError(
            f"{source} must be an object of JSON, not a {type(document).__name__}"
        )
    if not isinstance(document.get("graph"), dict):
        raise MLRunInvalidArgumentError(
            f'{source} is not a serving spec: it has no "graph" with routes or steps'
        )
    return document


def source_code_of(spec: Mapping[str, Any]) -> str | None:
    """The code in the `spec` of a function's document; None where there is none.

    It is in `build`, or as MLRun's hub has it in that of `base_spec.spec`. Raises MLRunInvalidArgumentError for what is
    no text in base64.
    """
    outer, inner = spec, _member(_member(spec, "base_spec"), "spec")
    for where, part in (("spec", outer), ("spec.base_spec.spec", inner)):
        encoded = _member(part, "build").get("functionSourceCode")
        if not encoded:
            continue
        try:
            # Documents in YAML may have it on several lines.
            plain = "".join(encoded.split()) if isinstance(encoded, str) else encoded
            return base64.b64decode(plain, validate=True).decode()
        except (TypeError, ValueError) as error:
            raise MLRunInvalidArgumentError(
                f"{where}.build.functionSourceCode is not text in base64: {error}"
            ) from error
    return None


def without_source_code(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same `spec` of a function's document without its code."""
    return {
        name: value for name, value in spec.items() if name not in ("build", "base_spec", "code")
    }


def _member(part: Any, name: str) -> Mapping[str, Any]:
    found = part.get(name) if isinstance(part, Mapping) else None
    return found if isinstance(found, Mapping) else {}
