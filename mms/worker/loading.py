"""LOAD -> a model, or what to tell about its failure."""

from __future__ import annotations

import importlib
import os
import time

from mms.brief import brief
from mms.interfaces.mlrun.worker import serving_class as mlrun_class
from mms.interfaces.seldon.worker import component_class as seldon_class
from mms.wire import Load, Loaded
from mms.worker.confinement import confine
from mms.worker.full_batches import find_full_batches
from mms.worker.manifest_file import LEGACY_MANIFEST, MANIFEST
from mms.worker.model import Model
from mms.worker.surroundings import enter_model
from mms.worker.tracebacks import last_line, model_traceback

_MAX_TRACEBACK_CHARS = 32_000
#: Interface -> the module whose `open_model(load)` knows it. One that a model does not use is not imported.
_INTERFACES = {
    "mms": "mms.worker.mms_interface",
    "legacy": "mms.worker.legacy_interface",
    "seldon": "mms.interfaces.seldon.worker.interface",
    "mlrun": "mms.interfaces.mlrun.worker.interface",
}


def load_model(load: Load) -> tuple[Model | None, Loaded]:
    """Never raises for what a model's code does; that is in the answer."""
    started_s = time.perf_counter()
    interface = load.interface
    load.model_dir = os.path.abspath(load.model_dir)
    try:
        confine(load.confinement)
        enter_model(load.model_dir, load.handler, load.packages)
        if interface == "auto":
            interface = "mms"
            interface = _detect_interface(load)
        module_name = _INTERFACES.get(interface)
        if module_name is None:
            known = ", ".join(_INTERFACES)
            raise ValueError(f"unknown interface {brief(interface)}; this worker knows {known}")
        model: Model = importlib.import_module(module_name).open_model(load)
    except BaseException as error:
        # SystemExit too: a handler that calls sys.exit() while it loads has failed to load.
        is_memory = isinstance(error, MemoryError)
        return None, Loaded(
            code=507 if is_memory else 500,
            message="System out of memory"
            if is_memory
            else f"Model {load.model_name} did not load",
            error=last_line(error),
            traceback=_shown_traceback(error),
            load_s=time.perf_counter() - started_s,
            interface=interface,
        )
    return model, success(model, time.perf_counter() - started_s)


def success(model: Model, load_s: float) -> Loaded:
    """What a process says that has this model loaded."""
    problem = model.problem
    return Loaded(
        code=200,
        message=f"Model {model.context.model_name} loaded in process {os.getpid()}",
        error=last_line(problem) if problem else "",
        traceback=_shown_traceback(problem) if problem else "",
        load_s=load_s,
        interface=model.interface,
        is_ready=model.items is None or model.items.is_ready,
        full_batches=_full_batches(model),
    )


def _shown_traceback(error: BaseException) -> str:
    """Its end: an exception's message may be of any length, and the front takes no message of any length."""
    return model_traceback(error)[-_MAX_TRACEBACK_CHARS:]


def _full_batches(model: Model) -> str:
    """Only of code that gets whole batches. Nothing that it finds there may fail the load."""
    properties = model.context.system_properties
    if model.items is not None or properties["batch_size"] < 2:
        return ""
    return find_full_batches(properties["model_dir"])


def _detect_interface(load: Load) -> str:
    """By the archive's files, else by what its code is. Raises whatever the handler's module raises."""
    has_manifest = os.path.isfile(os.path.join(load.model_dir, MANIFEST))
    if not has_manifest and os.path.isfile(os.path.join(load.model_dir, LEGACY_MANIFEST)):
        return "legacy"
    if load.options.get("graph"):
        return "mlrun"
    seldon_class.offer_package(load.options.get("seldon_shim", "auto"))
    mlrun_class.offer_package(load.options.get("mlrun_shim", "auto"))
    # Before the other: a model server has a `predict`, too.
    interface = "mms"
    if mlrun_class.names_model_server(load.handler):
        interface = "mlrun"
    elif seldon_class.names_component(load.handler):
        interface = "seldon"
    if interface != "mlrun":
        mlrun_class.withdraw_package()
    if interface != "seldon":
        seldon_class.withdraw_package()
    return interface
