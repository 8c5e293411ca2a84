from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from model_origin import Origin


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.start()
    yield origin
    await origin.close()
