"""The rows of TorchServe's own collection of management calls have the statuses that it asks for.

They are read from a checkout of TorchServe's repository that TORCHSERVE_CHECKOUT names; nothing of it is kept here.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from .conftest import TorchServe, archive

CHECKOUT = os.environ.get("TORCHSERVE_CHECKOUT", "")
#: What the collection's environment calls its archives; any model stands for them, as only statuses are compared.
ARCHIVES = ("squeezenet1_1", "mnist", "densenet161", "resnet-152-batch", "resnet-18")


@pytest.mark.skipif(not CHECKOUT, reason="TORCHSERVE_CHECKOUT names no checkout of TorchServe")
def test_torchserve_s_collection_of_management_calls_passes(torchserve: TorchServe) -> None:
    for name in ARCHIVES:
        archive(torchserve.store, name)
    rows = json.loads(Path(CHECKOUT, "test/postman/management_data.json").read_text())
    wrong = []
    for row in rows:
        path = re.sub(r"\{\{mar_path_([\w-]+)\}\}", r"\1.mar", row["path"])
        reply = torchserve.management.request(row["METHOD"].upper(), f"/{path}")
        if reply.status != row.get("status_code", 200):
            wrong.append((row["METHOD"], path, row.get("status_code", 200), reply.status))
    assert len(rows) > 50
    assert wrong == []
