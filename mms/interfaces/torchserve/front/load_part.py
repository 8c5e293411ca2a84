"""What the front tells the worker of a handler of TorchServe's."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mms.interfaces.torchserve.load import HandlerLoad
from mms.interfaces.torchserve.metrics.configuration import read_metrics, read_metrics_file
from mms.interfaces.torchserve.settings import TorchServeSettings

if TYPE_CHECKING:
    from mms.serving.served.pooled_model import PooledModel
    from mms.settings import Settings


def handler_load(
    served: PooledModel, settings: Settings, environ: Mapping[str, str]
) -> HandlerLoad:
    """Return what the server's settings say of handlers."""
    own = settings.of(TorchServeSettings)
    load = HandlerLoad(
        limit_max_image_pixels=own.limit_max_image_pixels,
        envelope=own.service_envelope or "",
        sequence_headers=[
            settings.sequence_id_header,
            settings.sequence_start_header,
            settings.sequence_end_header,
        ],
    )
    if own.metrics_config:
        try:
            load.metrics = _metrics_of(os.path.abspath(own.metrics_config))
        except (OSError, ValueError, TypeError, KeyError) as error:
            # The model's load fails with it.
            load.problem = f"metrics_config: {error}"
    return load


@functools.cache
def _metrics_of(path: str) -> list[dict[str, Any]]:
    """Return the metrics of a file. A server reads it once: it is a part of its configuration."""
    return read_metrics(read_metrics_file(path))
