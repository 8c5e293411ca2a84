"""What the front tells the worker of a model server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mms.interfaces.mlrun.load import ServingLoad
from mms.interfaces.mlrun.registration import ServerParameters
from mms.interfaces.mlrun.settings import MlrunSettings
from mms.wire import UrlRules

if TYPE_CHECKING:
    from mms.serving.served.pooled_model import PooledModel
    from mms.settings import Settings


def serving_load(
    served: PooledModel, settings: Settings, environ: Mapping[str, str]
) -> ServingLoad:
    """Return what the registration, or the function that it registers, says goes before the server's settings."""
    asked = served.options.asked
    own = settings.of(MlrunSettings)
    members: dict[str, Any] = {
        "data_url": _data_url_rules(settings) if own.mlrun_data_url else None,
        "body_operation": own.mlrun_body_operation,
        "row_wise": True if asked.value_of("row_batching") else None,
    }
    return ServingLoad(**members | asked.of(ServerParameters).with_defaults(settings).said())


def _data_url_rules(settings: Settings) -> UrlRules:
    """Return the rules by which the `data_url` of requests is read."""
    patterns, networks = settings.allowed_urls, settings.allowed_private_addresses
    return UrlRules(
        allowed_urls=list(patterns) if patterns else None,
        allowed_private_addresses=str(networks) if networks is not None else "",
        max_bytes=settings.max_request_size,
    )
