"""The interface `torchserve`: a function `handle(data, context)`, or one class with such a method."""

from __future__ import annotations

from mms.interfaces import find_interface
from mms.interfaces.mms import worker as mms_worker
from mms.wire import Load
from mms.worker.loading.model import Model
from mms.worker.loading.packages import offer_packages

INTERFACE = "torchserve"


def open_model(load: Load) -> Model:
    """Import the model's code and have it load. Raises whatever its code raises."""
    offer_packages(find_interface(INTERFACE), load.package_choices)
    model = mms_worker.open_model(load)
    model.interface = INTERFACE
    return model
