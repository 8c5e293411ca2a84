"""Models that a state file has, and that the first request makes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from support.replies import AwaitedReply, make_request
from support.settings import settings_of

from mms.errors import RequestTimeout
from mms.serving.options import RegisterOptions
from mms.serving.served import DormantModel
from mms.serving.state.idle_models import IdleModels


async def test_a_deadline_ends_the_wait_for_a_model_that_is_still_being_made() -> None:
    async def make(model: DormantModel) -> Any:
        await asyncio.Event().wait()

    idle = {"handler": "service:handle", "runtime": "python", "interface": "mms"}
    entry = {"model": "m", "version": None, "min_workers": 0, "max_workers": 1, "idle": idle}
    model = IdleModels(settings_of()).of_entry(entry, RegisterOptions("m"), make)
    assert model is not None
    reply = AwaitedReply()
    request = make_request("m", reply, deadline=time.monotonic() + 0.05)
    model.submit(request)
    status, body = await asyncio.wait_for(reply.done, 10)
    assert status == RequestTimeout.status, body
    assert not model.has(request)
    await model.drain(0)
