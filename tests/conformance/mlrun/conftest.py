"""Servers whose models are all MLRun's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.server import Server, ServerPool

from .service import R4, add_model

AddModel = Callable[..., str]


@pytest.fixture
def mlrun_server(servers: ServerPool, lane: str) -> Server:
    """Four models that multiply, as `R4` has them; tests add others."""
    server = servers.get("mlrun", lane.removeprefix("lane="))
    for key, multiplier in R4.items():
        add_model(server, key, "Mul", {"multiplier": multiplier})
    return server


@pytest.fixture
def strict_server(servers: ServerPool, lane: str) -> Server:
    """Strict statuses, and all that MLRun lets a client choose; R4 and a model that fails."""
    server = servers.get("mlrun-strict", lane.removeprefix("lane="))
    for key, multiplier in R4.items():
        add_model(server, key, "Mul", {"multiplier": multiplier})
    return server
