"""One at a time, nobody late: what a queue of requests promises, counted in turns."""

import asyncio
import contextlib

from flows.serving import turns
from flows.serving.turns import Full, Turns


class Requests:
    """Requests, how many turns each has waited, and who was told to come again."""

    def __init__(self):
        self.turns = Turns()
        self.done, self.waited, self.refused, self.inside = 0, [], 0, False

    async def ask(self):
        came = self.done

        def work():
            assert not self.inside
            self.inside = True
            self.waited.append(self.done - came)
            self.done += 1
            self.inside = False

        try:
            await self.turns.take(work)
        except Full:
            self.refused += 1

    def come(self, count):
        """So many at once, beside whatever waits already."""
        return [asyncio.ensure_future(self.ask()) for _ in range(count)]

    async def under(self, load, looks):
        """``load`` more come with every look of the loop's at its connections."""
        coming = []
        for _ in range(looks):
            coming += self.come(load)
            await asyncio.sleep(0)
        await asyncio.gather(*coming)


def run(work):
    return asyncio.run(asyncio.wait_for(work, 30))


def test_who_is_alone_never_waits():
    async def work():
        for _ in range(5 * turns.LOOK_TURNS):
            await requests.ask()

    requests = Requests()
    run(work())
    assert (set(requests.waited), requests.refused) == ({0}, 0)


def test_a_burst_is_answered_one_by_one_in_the_order_it_came():
    async def work():
        await asyncio.gather(*requests.come(turns.PLACES))

    requests = Requests()
    run(work())
    assert requests.waited == sorted(requests.waited)
    assert (len(requests.waited), requests.refused, len(requests.turns)) == (turns.PLACES, 0, 0)


def test_a_queue_that_shrinks_is_no_overload_though_others_come_meanwhile():
    async def work():
        burst = requests.come(turns.PLACES // 2)
        await requests.under(turns.FEW // 2, 20)
        await asyncio.gather(*burst)

    requests = Requests()
    run(work())
    assert requests.refused == 0


def test_however_much_more_comes_than_can_be_answered_who_is_answered_has_not_waited_long():
    for load in (turns.FEW * 2, turns.FEW * 10, turns.FEW * 50):
        requests = Requests()
        run(requests.under(load, 120))
        assert len(requests.waited) > 120 * turns.FEW * 0.9  # it works all the time
        assert max(requests.waited[turns.PLACES :]) <= 3 * turns.FEW
        assert requests.refused == 120 * load - len(requests.waited)


def test_when_the_queue_has_been_empty_a_burst_may_wait_again():
    async def work():
        await requests.under(turns.FEW * 10, 50)
        refused = requests.refused
        while requests.turns._is_busy:
            await asyncio.sleep(0)
        await asyncio.gather(*requests.come(turns.PLACES))
        return refused

    requests = Requests()
    refused = run(work())
    assert 0 < refused == requests.refused


def test_there_are_so_many_places_and_no_more():
    async def work():
        await asyncio.gather(*requests.come(turns.PLACES + 10))

    requests = Requests()
    run(work())
    assert (len(requests.waited), requests.refused) == (turns.PLACES + 1, 9)  # one had its turn at once


def test_who_goes_away_while_waiting_holds_nobody_up_and_takes_no_turn():
    async def work():
        first, *others = requests.come(6)
        await first
        others[-1].cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await requests.ask()

    requests = Requests()
    run(work())
    assert len(requests.waited) == 6


def test_a_turn_that_fails_is_over_and_tells_its_owner():
    async def work():
        failing = [asyncio.ensure_future(queue.take(lambda: 1 // 0)) for _ in range(3)]
        for one in failing:
            with contextlib.suppress(ZeroDivisionError):
                await one
                raise AssertionError("it was not told")
        return await queue.take(lambda: 7)

    queue = Turns()
    assert run(work()) == 7
