"""LOAD -> a model, or what to tell about its failure."""

from __future__ import annotations

import os
import sys
import time

from mms.interfaces import AUTO, DEFAULT, INTERFACES, find_interface, part
from mms.wire import Load, Loaded
from mms.worker.loading.import_recorder import ImportRecorder
from mms.worker.loading.model import Model
from mms.worker.loading.packages import offer_packages, withdraw_packages
from mms.worker.log_records.tracebacks import last_line, model_traceback
from mms.worker.process.confinement import confine
from mms.worker.process.setup import enter_model
from mms.worker.running.full_batches import find_full_batches

_MAX_TRACEBACK_CHARS = 32_000


def load_model(load: Load) -> tuple[Model | None, Loaded]:
    """Never raises for what a model's code does; that is in the answer."""
    started_s = time.perf_counter()
    interface = load.interface
    recorder: ImportRecorder | None = None
    load.model_dir = os.path.abspath(load.model_dir)
    try:
        confine(load.confinement)
        if load.is_in_place:
            # Python takes bytecode for that of a file that has changed within the second and is as long as it was. And
            # a folder that is followed changes by what is written there.
            sys.dont_write_bytecode = True
        enter_model(load.code_folders, load.packages)
        if load.reports_imports:
            recorder = ImportRecorder(load.code_folders)
            recorder.start()
        if interface == AUTO:
            interface = DEFAULT.name
            interface = _interface_of_code(load)
        model: Model = part(find_interface(interface).worker).open_model(load)
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
    finally:
        imports = recorder.stop() if recorder is not None else {}
    loaded = success(model, time.perf_counter() - started_s)
    loaded.imports = imports
    return model, loaded


def success(model: Model, load_s: float) -> Loaded:
    """Return what a process says that has this model loaded."""
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
        is_continuous=model.is_continuous,
    )


def _shown_traceback(error: BaseException) -> str:
    """Return the end of a traceback: an exception's message may be of any length, and no message to the front may."""
    return model_traceback(error)[-_MAX_TRACEBACK_CHARS:]


def _full_batches(model: Model) -> str:
    """Return where the code says that it needs full batches, if it gets whole ones. Nothing there fails the load."""
    properties = model.context.system_properties
    if model.items is not None or model.is_continuous or properties["batch_size"] < 2:
        return ""
    return find_full_batches(properties["model_dir"])


def _interface_of_code(load: Load) -> str:
    """Return the interface of what the handler names once it is imported. Raises whatever its module raises."""
    asked = [interface for interface in INTERFACES if interface.class_finder]
    for interface in asked:
        offer_packages(interface, load.package_choices)
    found = next(
        (each for each in asked if part(each.class_finder).names_model(load.handler)), DEFAULT
    )
    for interface in asked:
        if interface is not found:
            withdraw_packages(interface)
    return found.name
