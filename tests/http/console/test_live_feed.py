"""One producer of snapshots for all who look, and none where nobody does."""

from __future__ import annotations

import asyncio

from mms.http.console.live_feed import LiveFeed


class Producer:
    """Makes numbered snapshots; the first ones fail, if it is told so."""

    def __init__(self, failures: int = 0) -> None:
        self.made = 0
        self._failures = failures

    async def make(self) -> bytes:
        self.made += 1
        if self.made <= self._failures:
            raise RuntimeError("unforeseen")
        return b"%d" % self.made


async def shown(feed: LiveFeed) -> bytes | None:
    """What one who comes now is shown first."""
    woken = asyncio.Event()
    with feed.watched(woken.set):
        if feed.newest is None:
            await asyncio.wait_for(woken.wait(), 10)
        return feed.newest


async def test_nothing_is_made_before_somebody_looks_and_after_the_last_one_has_left() -> None:
    producer = Producer()
    feed = LiveFeed(producer.make, interval_s=0)
    await asyncio.sleep(0)
    assert producer.made == 0
    assert await shown(feed) is not None
    made = producer.made
    for _ in range(5):
        await asyncio.sleep(0)
    assert not feed.is_running
    assert producer.made == made


async def test_all_who_look_are_shown_the_same_snapshot() -> None:
    producer = Producer()
    feed = LiveFeed(producer.make, interval_s=60)
    with feed.watched(lambda: None):
        assert await asyncio.gather(*(shown(feed) for _ in range(3))) == [b"1"] * 3
    assert producer.made == 1


async def test_who_comes_after_a_while_is_shown_nothing_old() -> None:
    feed = LiveFeed(Producer().make, interval_s=60)
    assert await shown(feed) == b"1"
    assert await shown(feed) == b"2"


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    feed = LiveFeed(Producer().make, interval_s=0)
    stays = asyncio.Event()
    with feed.watched(stays.set):
        await shown(feed)
        stays.clear()
        await asyncio.wait_for(stays.wait(), 10)


async def test_a_snapshot_that_fails_is_followed_by_the_next_one() -> None:
    producer = Producer(failures=2)
    assert await shown(LiveFeed(producer.make, interval_s=0)) is not None
    assert producer.made >= 3
