"""The group commit's promises."""

import asyncio
import threading

import pytest

from flows.serving.log import Log
from flows.serving.turns import Full


class Disk:
    """A writer that waits for the test."""

    def __init__(self):
        self.batches, self.free, self.closed = [], threading.Event(), False

    def append(self, records):
        self.free.wait(30)
        self.batches.append(list(records))

    def close(self):
        self.closed = True


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def log(disk):
    made = Log(disk, limit=3)
    yield made
    disk.free.set()
    made.close()


def test_a_full_queue_turns_away_and_takes_again_later(log, disk):
    async def work():
        first = asyncio.ensure_future(log.written([b"1", b"2", b"3"]))
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await log.written([b"4"])
        with pytest.raises(Full):
            log.check()
        disk.free.set()
        await first
        log.check()
        await log.written([b"5"])

    asyncio.run(asyncio.wait_for(work(), 30))
    assert disk.batches == [[b"1", b"2", b"3"], [b"5"]]


def test_one_request_larger_than_the_queue_is_taken_when_nothing_waits(log, disk):
    disk.free.set()
    asyncio.run(asyncio.wait_for(log.written([b"x"] * 10), 30))
    assert log.queued == 0


def test_closing_writes_what_waits_and_takes_no_more(disk):
    log = Log(disk)

    async def work():
        waiting = [asyncio.ensure_future(log.written([b"%d" % n])) for n in range(5)]
        await asyncio.sleep(0)
        disk.free.set()
        await asyncio.to_thread(log.close)
        await asyncio.gather(*waiting)
        with pytest.raises(Full):
            await log.written([b"late"])

    asyncio.run(asyncio.wait_for(work(), 30))
    assert sorted(record for batch in disk.batches for record in batch) == [b"0", b"1", b"2", b"3", b"4"]
    assert disk.closed


def test_a_caller_who_went_away_disturbs_nobody(log, disk):
    async def work():
        gone, stays = (asyncio.ensure_future(log.written([name])) for name in (b"gone", b"stays"))
        await asyncio.sleep(0)
        gone.cancel()
        disk.free.set()
        await stays

    asyncio.run(asyncio.wait_for(work(), 30))
    assert [record for batch in disk.batches for record in batch] == [b"gone", b"stays"]
