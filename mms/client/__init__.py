"""A client of a running server: predictions, tensors, streams, models, health.

`Client` blocks, `AsyncClient` is for an event loop. A name is imported when it is first used, so that importing the
package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mms.lazy_names import lazy_name

if TYPE_CHECKING:
    from mms.client.answer import Answer, ServerRefused
    from mms.client.async_client import AsyncClient
    from mms.client.client import Client
    from mms.client.errors import (
        CertificateNotTrusted,
        ClientError,
        DeadlineExceeded,
        ServerUnreachable,
    )
    from mms.client.models import LogLine
    from mms.client.tensors import Inference

__all__ = [
    "Answer",
    "AsyncClient",
    "CertificateNotTrusted",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Inference",
    "LogLine",
    "ServerRefused",
    "ServerUnreachable",
]

_PLACES: Final = {
    "Answer": "mms.client.answer",
    "AsyncClient": "mms.client.async_client",
    "CertificateNotTrusted": "mms.client.errors",
    "Client": "mms.client.client",
    "ClientError": "mms.client.errors",
    "DeadlineExceeded": "mms.client.errors",
    "Inference": "mms.client.tensors",
    "LogLine": "mms.client.models",
    "ServerRefused": "mms.client.answer",
    "ServerUnreachable": "mms.client.errors",
}


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, name, _PLACES)
