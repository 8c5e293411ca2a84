"""Names of Seldon's package that are not in a module of this one: where else they are, or why they are nowhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, NamedTuple

from mms.interfaces.absent_name import AbsentName

#: Where Seldon's modules import each other's names from.
_MODULES: Final = (
    *("user_model", "utils", "metrics", "flask_utils", "metadata", "env_utils"),
    *("seldon_client", "microservice", "seldon_methods"),
)
_COMMAND: Final = "the command is part of seldon-core alone; it works against this server"


class _Absent(NamedTuple):
    """Names of a module that are not here, for a reason; constants of it that are."""

    names: str = ""
    reason: str = ""
    constants: dict[str, Any] = {}


#: By module. Modules that have no file are made of this.
_ABSENT: Final = {
    "api_tester": _Absent(
        "generate_batch get_seldon_client main run_predict run_send_feedback unfold_contract",
        _COMMAND,
    ),
    "batch_processor": _Absent(
        "run_cli setup_logging start_multithreaded_batch_worker",
        _COMMAND,
        {
            "SELDON_PUID_HEADER": "seldon-puid",
            "CHOICES_GATEWAY_TYPE": ["ambassador", "istio", "seldon"],
            "CHOICES_TRANSPORT": ["rest", "grpc"],
            "CHOICES_PAYLOAD_TYPE": ["ndarray", "tensor", "tftensor"],
            "CHOICES_DATA_TYPE": ["data", "json", "str", "raw"],
            "CHOICES_METHOD": ["predict", "feedback"],
            "CHOICES_LOG_LEVEL": {"debug": 10, "info": 20, "warning": 30, "error": 40},
        },
    ),
    "gunicorn_utils": _Absent(
        "StandaloneApplication UserModelApplication accesslog post_worker_init setup_tracing threads worker_exit",
        "this server runs no gunicorn",
    ),
    # What Seldon says of TensorFlow, which nothing here needs: `tftensor` is read without it.
    "imports_helper": _Absent(constants={"notice": ""}),
    "metadata": _Absent(
        "INPUTS_OUTPUTS_SCHEMA JSON_SCHEMA METADATA_TENSOR_SCHEMA SELDON_ARRAY_SCHEMA SELDON_BIN_SCHEMA "
        "SELDON_CUSTOM_DEFINITION SELDON_JSON_SCHEMA SELDON_STR_SCHEMA",
        "metadata are checked without a JSON schema; validate_model_metadata says what is wrong",
    ),
    "microservice": _Absent(
        "MetricsEndpointFilter StandaloneApplication UserModelApplication accesslog main parse_args post_worker_init "
        "setup_logger setup_tracing start_servers threads worker_exit",
        "this server serves components itself; mms microservice takes the place of seldon-core-microservice",
    ),
    "microservice_tester": _Absent(
        "SeldonTesterException gen_categorical gen_continuous generate_batch get_class_names main "
        "reconciliate_cont_type run_method run_send_feedback unfold_contract",
        _COMMAND,
    ),
    "mlmd_utils": _Absent(),
    "serving_test_gen": _Absent(
        "create_seldon_api_testing_file",
        "it is part of seldon-core alone",
        {
            "RANGE_INTEGER_MIN": 0,
            "RANGE_INTEGER_MAX": 1,
            "RANGE_FLOAT_MIN": 0.0,
            "RANGE_FLOAT_MAX": 1.0,
        },
    ),
    "utils": _Absent("setup_tracing", "tracing is not part of this server"),
    "version": _Absent(constants={"__version__": "1.17.1"}),
}


def names_elsewhere(module: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: names of others of the package, and those that are nowhere."""
    absent = _ABSENT.get(module.rpartition(".")[2], _Absent())

    def find(name: str) -> Any:
        if name in absent.names.split():
            full_name = f"{module}.{name}"
            text = f"{full_name} is not part of the stand-in for seldon_core: {absent.reason}"
            return AbsentName(full_name, text)
        if not name.startswith("_"):
            for other in _MODULES:
                full_name = f"{__package__}.{other}"
                if full_name != module:
                    found = vars(importlib.import_module(full_name)).get(name)
                    if found is not None:
                        return found
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


def make_modules(*with_files: str) -> None:
    """Make those modules that have no file."""
    for name, absent in _ABSENT.items():
        if name not in with_files:
            module = ModuleType(f"{__package__}.{name}")
            vars(module).update(absent.constants, __getattr__=names_elsewhere(module.__name__))
            sys.modules[module.__name__] = module
            setattr(sys.modules[str(__package__)], name, module)
