"""The interface `legacy`: archives of MMS's first format, whose service derives from `SingleNodeService`."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

from mms.context import Context
from mms.model_service.model_service import SingleNodeService
from mms.version import __version__
from mms.wire import Load
from mms.worker.loading.handler_module import classes_of
from mms.worker.loading.manifest_file import LEGACY_MANIFEST, read_manifest
from mms.worker.loading.model import Model
from mms.worker.loading.stages import note_imported


def open_model(load: Load) -> Model:
    """Make and initialize the model's service. Raises whatever its code raises."""
    manifest = read_manifest(load.model_dir, LEGACY_MANIFEST)
    context = Context(
        *(load.model_name, load.model_dir, manifest, load.batch_size, load.gpu_id, __version__),
        model_yaml_config=load.model_config,
    )
    service_class = find_service(load.handler, load.model_dir)
    service = service_class(load.model_name, load.model_dir, manifest or {}, load.gpu_id)
    service.initialize(context)
    return Model("legacy", service.handle, context)


def find_service(handler: str, model_dir: str) -> type[SingleNodeService]:
    """Return a file's first service class, by name. Raises ImportError, or ValueError where there is none."""
    module = _import_file(handler, model_dir)
    services = [found for found in classes_of(module) if issubclass(found, SingleNodeService)]
    if not services:
        raise ValueError(f"no class in {handler} derives from SingleNodeService")
    return services[0]


def _import_file(handler: str, model_dir: str) -> ModuleType:
    file_name = handler if handler.endswith(".py") else f"{handler}.py"
    path = os.path.join(model_dir, file_name)
    name = os.path.basename(file_name).removesuffix(".py")
    if not os.path.isfile(path):
        raise ImportError(f"service file {file_name} is not in the archive")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"service file {file_name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    note_imported()
    return module
