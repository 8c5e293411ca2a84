"""MMS's own way to load a model's code, for tools and tests that were written for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mms.interfaces.legacy.worker import find_service
from mms.interfaces.mms.worker import find_handler
from mms.metrics.metrics_store import MetricsStore
from mms.service import Service
from mms.worker.loading.handler_module import classes_of
from mms.worker.loading.manifest_file import LEGACY_MANIFEST, MANIFEST, read_manifest


class ModelLoader:
    """Makes a `Service` of a model's folder."""

    module: ModuleType | None = None

    def load(
        self, model_name: str, model_dir: str, handler: str, gpu_id: int | None, batch_size: int
    ) -> Service:
        """Import the handler and have it load. Raises whatever its code raises."""
        raise NotImplementedError

    @staticmethod
    def list_model_services(
        module: ModuleType, parent_class: type[Any] | None = None
    ) -> list[type[Any]]:
        """The classes that a module itself defines, of them those below `parent_class` if given."""
        found = classes_of(module)
        if parent_class is None:
            return found
        return [one for one in found if issubclass(one, parent_class)]

    def unload(self) -> None:
        """Forget what the handler's module holds, but its logging."""
        module, self.module = self.module, None
        for name in list(vars(module) if module is not None else ()):
            if not name.startswith("__") and name != "logging":
                delattr(module, name)


class MmsModelLoader(ModelLoader):
    """Loads archives with MAR-INF/MANIFEST.json, and those without a manifest."""

    def load(
        self, model_name: str, model_dir: str, handler: str, gpu_id: int | None, batch_size: int
    ) -> Service:
        manifest = read_manifest(model_dir, MANIFEST)
        found = find_handler(handler)
        self.module = _module_of(found.entry_point)
        service = Service(model_name, model_dir, manifest, found.entry_point, gpu_id, batch_size)
        if found.is_function:
            service.context.metrics = MetricsStore(None, model_name)
            found.entry_point(None, service.context)
        elif found.initialize is not None:
            found.initialize(service.context)
        return service


class LegacyModelLoader(ModelLoader):
    """Loads archives of MMS's first format."""

    def load(
        self, model_name: str, model_dir: str, handler: str, gpu_id: int | None, batch_size: int
    ) -> Service:
        manifest = read_manifest(model_dir, LEGACY_MANIFEST)
        service_class = find_service(handler, model_dir)
        self.module = sys.modules.get(service_class.__module__)
        model = service_class(model_name, model_dir, manifest or {}, gpu_id)
        service = Service(model_name, model_dir, manifest, model.handle, gpu_id, batch_size)
        model.initialize(service.context)
        return service


class ModelLoaderFactory:
    """Chooses a loader by the manifest that a folder holds."""

    @staticmethod
    def get_model_loader(model_dir: str) -> ModelLoader:
        if not os.path.exists(os.path.join(model_dir, MANIFEST)) and os.path.exists(
            os.path.join(model_dir, LEGACY_MANIFEST)
        ):
            return LegacyModelLoader()
        return MmsModelLoader()


def _module_of(entry_point: Callable[..., Any]) -> ModuleType | None:
    return sys.modules.get(getattr(entry_point, "__module__", None) or "")
