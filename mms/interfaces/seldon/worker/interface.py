"""The interface `seldon`: a component of Seldon Core's Python contract, unmodified."""

from __future__ import annotations

import inspect
import logging
import os
from typing import Any

from mms.context import Context
from mms.interfaces.seldon.components.component import Component
from mms.interfaces.seldon.components.description_calls import MetadataCall
from mms.interfaces.seldon.components.flask_app import BLUEPRINT, FlaskApp
from mms.interfaces.seldon.components.hooks import OwnHooks
from mms.interfaces.seldon.components.input_checks import InputChecks
from mms.interfaces.seldon.components.parameters import (
    ENVIRONMENT_NAME,
    parse_parameters,
    parse_parameters_json,
)
from mms.interfaces.seldon.errors import is_not_implemented
from mms.interfaces.seldon.interface import SELDON
from mms.interfaces.seldon.load import ComponentLoad
from mms.interfaces.seldon.unit import UnitNames, Units
from mms.interfaces.seldon.worker.component_class import find_class, uses_flask
from mms.interfaces.seldon.worker.items import SeldonItems
from mms.interfaces.seldon.worker.persistence import open_persistence
from mms.tensors.server import TensorServer
from mms.version import __version__
from mms.wire import Load
from mms.worker.loading.model import Model
from mms.worker.loading.packages import offer_packages
from mms.worker.tensors.late import LateServer

_log = logging.getLogger("mms.seldon")

_MODEL_URI = "model_uri"


def open_model(load: Load) -> Model:
    """Import the class, make its one instance and have it load. Raises whatever its code raises."""
    component_load = load.part(SELDON.name, ComponentLoad)
    offer_packages(SELDON, load.package_choices)
    found = find_class(load.handler, load.model_dir)
    parameters = _parameters(found, load)
    persistence = open_persistence(component_load.persistence_file)
    if persistence is None:
        instance = _make(found, parameters)
    else:
        instance = persistence.restore(lambda: _make(found, parameters))
    component = open_component(
        instance, component_load, load.model_name, load.model_version, model_dir=load.model_dir
    )
    items = SeldonItems(
        component,
        load.model_name,
        joins_rows=component_load.joins_rows and load.batch_size > 1,
        service=_custom_service(instance),
        keep=None if persistence is None else lambda: persistence.keep(instance),
        close=None if persistence is None else persistence.close,
        debug_errors=load.debug_errors,
    )
    context = Context(
        load.model_name, load.model_dir, None, load.batch_size, load.gpu_id, __version__
    )

    def open_tensors() -> TensorServer:
        # Here, as most models have no use for it.
        from mms.interfaces.seldon.worker.tensors import ComponentTensors

        return ComponentTensors(
            component,
            instance,
            load,
            joins_rows=component_load.joins_rows and load.batch_size > 1,
        )

    return Model(
        SELDON.name,
        lambda data, context: items.serve_items(data),
        context,
        items=items,
        tensors=LateServer(open_tensors),
    )


def open_component(
    instance: Any,
    load: ComponentLoad,
    model_name: str | None = None,
    model_version: str | None = None,
    *,
    model_dir: str | None = None,
) -> Component:
    """Have an instance load, and find out what it has. Raises whatever its code raises."""
    is_strict = load.is_strict
    # In the order of Seldon's wrapper: the first two before `load`, the hooks as they are after it.
    metadata = MetadataCall(OwnHooks(instance), is_strict)
    blueprint = getattr(instance, BLUEPRINT, None)
    flask_app = None if blueprint is None else FlaskApp(blueprint)
    _load(instance)
    if flask_app is None and model_dir is not None and uses_flask(instance, model_dir):
        flask_app = FlaskApp()
    names = UnitNames(load.unit_id, load.unit_image)
    units = Units(names, is_strict, model_name=model_name, model_version=model_version)
    inputs = _input_checks(metadata, names.image) if load.validates_inputs else None
    return Component(
        instance, metadata, units, is_strict=is_strict, flask_app=flask_app, inputs=inputs
    )


def _input_checks(metadata: MetadataCall, image: str | None) -> InputChecks | None:
    """Return the checks of inputs. Raises ValueError where nothing can be checked, as the metadata are invalid."""
    found = metadata.find(image)
    if found is None:
        raise ValueError("validate_inputs=true: the model's metadata are invalid; the log says why")
    if not found["inputs"]:
        _log.warning("validate_inputs has no effect: the model's metadata declare no inputs")
        return None
    return InputChecks(found["inputs"])


def _parameters(found: Any, load: Load) -> dict[str, Any]:
    """Return the arguments of the constructor. Raises SeldonMicroserviceException or ValueError for wrong ones."""
    if load.parameters:
        parameters = parse_parameters(load.parameters)
    else:
        parameters = parse_parameters_json(os.environ.get(ENVIRONMENT_NAME) or "[]")
    if load.model_files is not None:
        parameters[_MODEL_URI] = load.model_files
    elif _MODEL_URI not in parameters and _needs_model_uri(found):
        parameters[_MODEL_URI] = None
    return parameters


def _needs_model_uri(found: Any) -> bool:
    try:
        parameter = inspect.signature(found).parameters.get(_MODEL_URI)
    except (ValueError, TypeError):
        return False
    return parameter is not None and parameter.default is parameter.empty


def _make(found: Any, parameters: dict[str, Any]) -> Any:
    try:
        signature = inspect.signature(found)
    except (ValueError, TypeError):
        # Written in C: only calling it tells.
        return found(**parameters)
    try:
        signature.bind(**parameters)
    except TypeError as error:
        given = ", ".join(parameters) or "none"
        raise TypeError(
            f"{getattr(found, '__name__', found)}{signature} cannot be made from the parameters given ({given}): "
            f"{error}"
        ) from None
    return found(**parameters)


def _load(instance: Any) -> None:
    load = getattr(instance, "load", None)
    if not callable(load):
        return
    try:
        load()
    except NotImplementedError:
        return
    except Exception as error:
        if not is_not_implemented(error):
            raise


def _custom_service(instance: Any) -> Any:
    service = getattr(instance, "custom_service", None)
    return service if callable(service) else None
