"""Models that a state file has, and that the first request makes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request
from support.settings import settings_of

from mms.core import ModelVersion
from mms.errors import RequestTimeout, ServiceUnavailable
from mms.serving.observed_models import snapshot_of
from mms.serving.options import RegisterOptions
from mms.serving.served import DormantModel
from mms.serving.state.idle_models import IdleModels


@pytest.fixture
async def dormant() -> AsyncIterator[Callable[..., DormantModel]]:
    """Makes models whose making never ends, of a registration's parameters."""
    made: list[DormantModel] = []

    async def make(model: DormantModel) -> Any:
        await asyncio.Event().wait()

    def start(**options: Any) -> DormantModel:
        idle = {"handler": "service:handle", "runtime": "python", "interface": "mms"}
        entry = {"model": "m", "version": None, "min_workers": 0, "max_workers": 1, "idle": idle}
        model = IdleModels(settings_of()).of_entry(entry, RegisterOptions("m", **options), make)
        assert model is not None
        made.append(model)
        return model

    yield start
    for model in made:
        await model.drain(0)


@pytest.mark.parametrize(
    ("options", "wait_s"), [({}, 0.05), ({"request_timeout_s": 0.05}, None)], ids=["own", "model's"]
)
async def test_a_deadline_ends_the_wait_for_a_model_that_is_still_being_made(
    dormant: Callable[..., DormantModel], options: dict[str, Any], wait_s: float | None
) -> None:
    model = dormant(**options)
    reply = AwaitedReply()
    request = make_request("m", reply, deadline=time.monotonic() + wait_s if wait_s else 0.0)
    model.submit(request)
    status, body = await asyncio.wait_for(reply.done, 10)
    assert status == RequestTimeout.status, body
    assert not model.has(request)


async def test_no_more_waits_for_a_model_to_be_made_than_its_registration_says(
    dormant: Callable[..., DormantModel],
) -> None:
    short, small = dormant(job_queue_size=2), dormant(job_queue_bytes=100)
    for _ in range(2):
        short.submit(make_request("m", AwaitedReply(), bytes(1000)))
    small.submit(make_request("m", AwaitedReply(), bytes(60)))
    for model in (short, small):
        # Its workers come by themselves: nobody has to order one.
        with pytest.raises(ServiceUnavailable, match=r"Consider increasing job queue size\.$"):
            model.submit(make_request("m", AwaitedReply(), bytes(50)))
    small.submit(make_request("m", AwaitedReply(), bytes(40)))
    with pytest.raises(ServiceUnavailable):
        small.check_room()


async def test_a_model_that_may_have_no_workers_says_who_can_give_it_one(
    dormant: Callable[..., DormantModel],
) -> None:
    model = dormant()
    model.most_workers = 0
    with pytest.raises(ServiceUnavailable, match=r"It has 0 workers; PUT /models/m\?min_worker=1"):
        model.submit(make_request("m", AwaitedReply()))


async def test_what_a_model_refuses_before_it_is_made_is_counted_by_the_one_that_is_made(
    dormant: Callable[..., DormantModel],
) -> None:
    model = dormant(job_queue_size=1)
    may_go = asyncio.Event()
    made = SimpleNamespace(
        model=ModelVersion("m", None, model.model.config), submit=lambda request: None
    )

    async def make(model: DormantModel) -> Any:
        await may_go.wait()
        return made

    model.make = make
    late = make_request("m", AwaitedReply())
    model.submit(late)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            model.submit(make_request("m", AwaitedReply()))
    model.cancel(late)
    lost = snapshot_of(model).unanswered
    assert (lost["refused", "queue"], lost["cancelled", "queue"]) == (2, 1)
    may_go.set()
    await asyncio.wait_for(model.woken(), 10)
    assert made.model.unanswered.by_kind() == lost


async def test_requests_of_a_model_that_is_unregistered_while_it_is_made_are_told_so(
    dormant: Callable[..., DormantModel],
) -> None:
    model = dormant()
    reply = AwaitedReply(raises=True)
    model.submit(make_request("m", reply))
    asking = asyncio.ensure_future(model.woken())
    await asyncio.sleep(0)
    await model.drain(0)
    text = "^No worker is available to serve request for model: m. It takes no more requests.$"
    for waiting in (reply.done, asking, model.woken()):
        with pytest.raises(ServiceUnavailable, match=text):
            await asyncio.wait_for(waiting, 10)
    with pytest.raises(ServiceUnavailable, match=text):
        model.submit(make_request("m", AwaitedReply()))
    model.reopen()
    # It is made once more.
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(model.woken(), 0.01)
