"""The interface `torchserve`: a handler in the worker's own process, or in a group of processes."""

from __future__ import annotations

from mms.interfaces.torchserve.worker.continuous import KEY
from mms.interfaces.torchserve.worker.group.options import group_options
from mms.interfaces.torchserve.worker.handler_model import (
    INTERFACE,
    described_context,
    open_handler,
    request_rules,
)
from mms.wire import Load
from mms.worker.loading.model import Model
from mms.worker.log_records.log_lines import write_log


def open_model(load: Load) -> Model:
    """Import the model's code and have it load. Raises whatever its code raises."""
    options = group_options(load.model_config)
    if options is None:
        return open_handler(load)
    # Here, as most models have no use for it.
    from mms.interfaces.torchserve.worker.group.leader import Group

    if load.model_config.get(KEY) is True:
        write_log(f"{KEY} has no effect: a group of processes takes requests batch by batch\n")
    group = Group(options, load)
    return Model(INTERFACE, group.handle, described_context(load), rules=request_rules())
