"""The interface `oip`: plain handlers, and classes of models of tensors."""

from __future__ import annotations

from typing import Any

from mms.context import Context
from mms.interfaces.mms import worker as handlers
from mms.interfaces.oip.interface import OIP
from mms.interfaces.oip.worker.items import TensorOnlyItems
from mms.interfaces.oip.worker.tensor_class import Contract, find_model
from mms.tensors.declaration import ModelDeclaration
from mms.version import __version__
from mms.wire import Load
from mms.worker.loading.model import Model
from mms.worker.loading.packages import offer_packages
from mms.worker.tensors.items import declaration_of


def open_model(load: Load) -> Model:
    """Import the model's code and have it load. Raises whatever its code raises."""
    offer_packages(OIP, load.package_choices)
    contract, found = find_model(load.handler)
    if contract is Contract.PLAIN:
        model = handlers.open_model(load)
        model.interface = OIP.name
        return model
    declaration = declaration_of(load)
    server = _open_server(contract, found, load, declaration)
    context = Context(
        *(load.model_name, load.model_dir, None, load.batch_size, load.gpu_id, __version__),
        model_yaml_config=load.model_config,
    )
    items = TensorOnlyItems(load, server)
    return Model(
        OIP.name,
        lambda data, context: items.serve_items(data),
        context,
        items=items,
        tensors=server,
    )


def _open_server(
    contract: Contract, found: Any, load: Load, declaration: ModelDeclaration | None
) -> Any:
    # Here, as a model is of one of them.
    if contract is Contract.TRITON:
        from mms.interfaces.oip.worker.triton import open_triton

        return open_triton(found, load, declaration)
    if contract is Contract.MLSERVER:
        from mms.interfaces.oip.worker.mlserver import open_mlserver

        return open_mlserver(found, load, declaration)
    from mms.interfaces.oip.worker.model_class import open_class

    return open_class(found, load, declaration)
