"""One at a time, nobody late: what a queue of requests promises, counted in turns."""

import asyncio

from flows.serving import turns
from flows.serving.turns import Turns


class Requests:
    """Requests, how many turns each has waited, and who was told to come again."""

    def __init__(self, *, answers=True):
        self.turns, self.answers = Turns(), answers
        self.done, self.waited, self.refused, self.begun = 0, [], 0, False

    def ask(self, *, gone=False):
        came = self.done

        def start():
            if gone:
                return False
            assert not self.begun  # the turn before is over
            self.begun = True
            asyncio.get_running_loop().call_soon(work)
            return True

        def work():
            self.waited.append(self.done - came)
            self.done, self.begun = self.done + 1, False
            if self.answers:
                self.turns.answered()

        def refuse():
            self.refused += 1

        self.turns.take(start, refuse)

    def come(self, count):
        """So many at once, beside whatever waits already."""
        for _ in range(count):
            self.ask()

    async def a_turn(self):
        """Until the next turn is over, if there is one."""
        done = self.done
        while self.done == done and self.turns._is_busy:
            await asyncio.sleep(0)

    async def under(self, load, count):
        """``load`` more come with every one of ``count`` turns."""
        for _ in range(count):
            self.come(load)
            await self.a_turn()
        await self.over()

    async def over(self):
        while self.turns._is_busy:
            await asyncio.sleep(0)


def run(work):
    return asyncio.run(asyncio.wait_for(work, 30))


def test_who_is_alone_never_waits():
    requests = Requests()
    run(requests.under(1, 5 * turns.LOOK_TURNS))
    assert (set(requests.waited), requests.refused) == ({0}, 0)


def test_a_burst_is_answered_one_by_one_in_the_order_it_came():
    requests = Requests()
    run(requests.under(turns.PLACES, 1))
    assert requests.waited == list(range(turns.PLACES))
    assert (requests.refused, len(requests.turns)) == (0, 0)


def test_a_queue_that_shrinks_is_no_overload_though_others_come_meanwhile():
    async def work():
        requests.come(turns.PLACES // 2)
        for number in range(turns.PLACES):
            requests.come(number % 2)
            await requests.a_turn()

    requests = Requests()
    run(work())
    assert requests.refused == 0


def test_so_many_clients_that_wait_for_their_answers_are_no_overload():
    async def work():
        requests.come(turns.BURST - 1)
        await requests.under(1, 20 * turns.LOOK_TURNS)

    requests = Requests()
    run(work())
    assert requests.refused == 0
    assert max(requests.waited) <= turns.BURST


def test_however_much_more_comes_than_can_be_answered_who_is_answered_has_not_waited_long():
    for load in (2, 10, 100):
        requests = Requests()
        run(requests.under(load, 300))
        assert len(requests.waited) >= 300  # it works all the time
        assert max(requests.waited[2 * turns.BURST :]) == 0
        assert requests.refused == 300 * load - len(requests.waited)


def test_ten_times_the_load_is_noticed_after_a_few_turns():
    requests = Requests()
    run(requests.under(10, 100))
    assert max(requests.waited) <= turns.BURST // 10 + 1


def test_more_clients_than_can_wait_are_noticed_when_their_queue_has_not_shrunk():
    async def work():
        requests.come(2 * turns.BURST)
        await requests.under(1, 10 * turns.LOOK_TURNS)

    requests = Requests()
    run(work())
    assert requests.refused > turns.BURST
    assert max(requests.waited[3 * turns.LOOK_TURNS :]) == 0


def test_when_nobody_had_to_be_told_for_a_while_a_burst_may_wait_again():
    async def work():
        await requests.under(10, 50)
        assert requests.refused > 0
        requests.come(turns.PLACES)
        while requests.turns._is_standing:
            await requests.under(1, 1)
        refused = requests.refused
        await requests.under(turns.PLACES, 1)
        return refused

    requests = Requests()
    assert run(work()) == requests.refused


def test_there_are_so_many_places_and_no_more():
    requests = Requests()
    run(requests.under(turns.PLACES + 10, 1))
    assert (len(requests.waited), requests.refused) == (turns.PLACES + 1, 9)  # one had its turn at once


def test_who_went_away_while_waiting_holds_nobody_up_and_takes_no_turn():
    async def work():
        requests.ask(gone=True)
        requests.come(2)
        for _ in range(3):
            requests.ask(gone=True)
        requests.come(1)
        await requests.over()

    requests = Requests()
    run(work())
    assert requests.waited == [0, 1, 2]


def test_between_two_turns_the_loop_answers_what_is_done():
    async def work():
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: done.add_done_callback(lambda _: seen.append(requests.done)))
        requests.come(3)
        await requests.a_turn()
        done.set_result(None)
        await requests.over()

    requests, seen = Requests(), []
    run(work())
    assert seen == [1]


def test_while_a_queue_stands_a_turn_lasts_until_its_answer_and_who_comes_meanwhile_is_told():
    async def work():
        await requests.under(10, 50)
        requests.answers = False
        requests.come(1)
        done, refused = requests.done + 1, requests.refused
        for _ in range(50):
            await asyncio.sleep(0)
            requests.come(1)
        told = requests.done == done, requests.refused - refused
        requests.turns.answered()
        await requests.over()
        requests.answers = True
        requests.come(1)
        await requests.over()
        return *told, requests.done - done

    requests = Requests()
    assert run(work()) == (True, 50, 1)


def test_an_answer_that_does_not_come_holds_nobody_up_for_long():
    async def work():
        await requests.under(10, 50)
        requests.answers = False
        requests.come(1)
        await requests.over()
        requests.come(1)
        await requests.over()

    requests = Requests()
    run(work())
    assert requests.waited[-2:] == [0, 0]


def test_while_a_queue_stands_who_asks_again_when_answered_is_always_answered():
    async def work():
        await requests.under(10, 50)
        refused = requests.refused
        for _ in range(20):
            requests.come(1)
            await requests.a_turn()
        await requests.over()
        return requests.refused - refused

    requests = Requests()
    assert run(work()) == 0
