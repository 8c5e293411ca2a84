"""What a registration may still ask for where models must be signed: nothing that decides which code runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mms.errors import BadRequest
from mms.serving.options import RegisterOptions

#: Arguments by which models find files that they load, and with which they run code that lies there.
_PLACES: Final = ("model_uri", "model_path")


def check_is_signed_alone(options: RegisterOptions) -> None:
    """Raises BadRequest naming the parameter."""
    refused = None
    if options.handler:
        refused = "handler"
    elif options.runtime:
        refused = "runtime"
    elif options.value_of("serving_spec") is not None:
        refused = "serving_spec"
    elif options.value_of("model_path"):
        refused = "model_path"
    elif options.ray_runtime_env:
        refused = "ray_runtime_env"
    elif _names_place(options):
        refused = f"with the argument {' or '.join(_PLACES)}"
    if refused is not None:
        raise BadRequest(
            f"Parameter {refused} is refused because require_signature is on: only the signed archive says what "
            "a model runs."
        )


def _names_place(options: RegisterOptions) -> bool:
    parameters = options.parameters if isinstance(options.parameters, (list, tuple)) else ()
    names = {p.get("name") for p in parameters if isinstance(p, Mapping)}
    names |= set(options.value_of("class_args") or {})
    return not names.isdisjoint(_PLACES)
