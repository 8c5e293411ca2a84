"""Which model and operation a path means, below a router's prefix. No input or output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mms.interfaces.mlrun.errors import with_strict_status

#: Operations that a router with a name of its own takes without its name.
OWN_OPERATIONS = ("infer", "predict", "explain")
DEFAULT_OPERATION = "infer"
VERSIONS = "versions"


class ModelPath(NamedTuple):
    """`model`: a route's key, empty where the path names none. `operation`: None where the path names none."""

    model: str
    operation: str | None

    @property
    def is_list(self) -> bool:
        """Whether it is the prefix alone, which asks for the models."""
        return not self.model and self.operation == ""


#: A path that is empty or `/`: the body says what is meant.
BY_BODY = ModelPath("", None)


def parse_model_path(path: str | None, url_prefix: str = "/v2/models") -> ModelPath:
    """Read `<prefix>/<model>[/versions/<version>][/<operation>]`; the key of a version is `<model>:<version>`.

    Raises ValueError for a path that is not below the prefix.
    """
    if not path or path == "/":
        return BY_BODY
    prefix = url_prefix.rstrip("/")
    if path != prefix and not path.startswith(prefix + "/"):
        raise with_strict_status(
            ValueError(f"illegal path prefix {path}, must start with {url_prefix}"), 404
        )
    segments = path[len(prefix) :].strip("/").split("/")
    model = segments[0]
    if len(segments) > 2 and segments[1] == VERSIONS:
        model = f"{model}:{segments[2]}"
        del segments[1:3]
    return ModelPath(model, "/".join(segments[1:]))


def key_in(body: Any) -> str:
    """Return the key of the model that a body names, by `model` and `version` or by `model` as `<name>:<version>`.

    Empty where it names none. Raises ValueError for members that are no text.
    """
    model = body.get("model") if isinstance(body, dict) else None
    if not model:
        return ""
    for member, value in (("model", model), ("version", body.get("version") or "")):
        is_number = member == "version" and isinstance(value, int)
        if not isinstance(value, str) and (not is_number or isinstance(value, bool)):
            text = f"the body's {member} must be a text, not {type(value).__name__}"
            raise with_strict_status(ValueError(text), 422)
    version = body.get("version")
    return f"{model}:{version}" if version and ":" not in model else str(model)


def resolve_route(
    path: str | None,
    body: Any,
    keys: Iterable[str],
    *,
    url_prefix: str = "/v2/models",
    has_body_operation: bool = False,
) -> ModelPath:
    """Return the route and operation that a request to a ModelRouter means; one without a model asks for the list.

    A body's `model` and `version` count where the path names no model, and so does its `operation`, which goes first
    where `has_body_operation`. Without a model it is the first of `keys`. Raises ValueError.
    """
    known = list(keys)
    model, operation = found = parse_model_path(path, url_prefix)
    if found.is_list:
        return found
    if isinstance(body, dict):
        if not model:
            model = key_in(body) or (known[0] if known else "")
        own = body.get("operation")
        if isinstance(own, str) and own and (has_body_operation or not operation):
            operation = own.strip("/")
    elif not model and known:
        model = known[0]
    if operation is None:
        operation = DEFAULT_OPERATION
    if model not in known:
        raise unknown_model(model, known)
    return ModelPath(model, operation)


def resolve_named_route(
    path: str | None,
    method: str | None,
    keys: Iterable[str],
    name: str,
    *,
    url_prefix: str = "/v2/models",
    own_operations: tuple[str, ...] = OWN_OPERATIONS,
    body: Any = None,
    has_body_operation: bool = False,
) -> ModelPath:
    """Return the same for a router that is asked as a model, by its `name`, by an operation alone or by no path at all.

    One without a model and an operation "" asks for the list. A body's model is not looked at. Raises ValueError.
    """
    found = _named_route(path, method, list(keys), name, url_prefix, own_operations)
    if found.is_list:
        return found
    own = body.get("operation") if isinstance(body, dict) else None
    if (
        isinstance(own, str)
        and own
        and method != "GET"
        and (not found.operation or has_body_operation)
    ):
        return ModelPath(found.model, own.strip("/"))
    if found.model == name and found.operation == "" and method != "GET":
        return ModelPath(name, DEFAULT_OPERATION)
    return ModelPath(found.model, DEFAULT_OPERATION if found.operation is None else found.operation)


def _named_route(
    path: str | None,
    method: str | None,
    known: list[str],
    name: str,
    url_prefix: str,
    own_operations: tuple[str, ...],
) -> ModelPath:
    model, operation = found = parse_model_path(path, url_prefix)
    if found.is_list:
        return found
    if operation is None:
        return ModelPath(name, None)
    # A model may be called like an operation: it is meant where an operation follows its name, or GET asks for it.
    if model in known and (operation or model not in own_operations or method == "GET"):
        return ModelPath(model, operation)
    if model == name:
        return ModelPath(name, operation)
    if model in own_operations and not operation:
        return ModelPath(name, model)
    raise unknown_model(model, [*known, f"{name} or an operation alone for ensemble operation"])


def unknown_model(model: Any, known: Iterable[str]) -> ValueError:
    return with_strict_status(
        ValueError(f"model {model} doesnt exist, available models: {' | '.join(known)}"), 404
    )
