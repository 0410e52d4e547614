"""The work queue: each key at most once at a time, none lost, failures later each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from trainyard.operator.queue import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, WorkQueue

Queue = WorkQueue[str]


def run(test: Callable[[Queue], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(WorkQueue(jitter=lambda: 0.5)), 5)

    asyncio.run(main())


async def idle(queue: Queue, seconds: float = 0.02) -> bool:
    """Whether nothing comes for a while."""
    try:
        await asyncio.wait_for(queue.get(), seconds)
    except TimeoutError:
        return True
    return False


def timer(queue: Queue, key: str) -> float | None:
    """Seconds until the key's timer."""
    handle = queue._timers.get(key)
    return None if handle is None else handle.when() - asyncio.get_running_loop().time()


def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    async def body(queue: Queue) -> None:
        for key in "bac":
            queue.add(key)
        assert [await queue.get() for _ in range(3)] == ["b", "a", "c"]

    run(body)


def test_key_that_was_added_twice_comes_once() -> None:
    async def body(queue: Queue) -> None:
        queue.add("a")
        queue.add("a")
        assert len(queue) == 1
        await queue.get()
        queue.done("a")
        assert await idle(queue)

    run(body)


def test_key_that_is_busy_is_not_given_to_a_second_worker() -> None:
    async def body(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        queue.add("a")
        assert await idle(queue)

    run(body)


def test_key_added_while_busy_comes_once_more_afterwards() -> None:
    async def body(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.add("a")
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert await idle(queue)
        assert len(queue) == 0

    run(body)


def test_failed_key_comes_again_later_each_time_up_to_a_limit() -> None:
    async def body(queue: Queue) -> None:
        delays = []
        for _ in range(15):
            queue.add("a")
            await queue.get()
            queue.done("a", failed=True)
            delays.append(timer(queue, "a"))
        assert delays[:3] == pytest.approx(
            [FIRST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2, FIRST_DELAY_SECONDS * 4], abs=0.02
        )
        assert delays[-1] == pytest.approx(LONGEST_DELAY_SECONDS, abs=0.02)

    run(body)


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.5), (0.999, 1.499)])
def test_jitter_spreads_the_retries(jitter: float, factor: float) -> None:
    async def body() -> None:
        queue: Queue = WorkQueue(jitter=lambda: jitter)
        queue.add("a")
        await queue.get()
        queue.done("a", failed=True)
        assert timer(queue, "a") == pytest.approx(FIRST_DELAY_SECONDS * factor, abs=0.02)

    asyncio.run(body())


def test_success_forgets_the_failures() -> None:
    async def body(queue: Queue) -> None:
        for failed in (True, True, False, True):
            queue.add("a")
            await queue.get()
            queue.done("a", failed=failed)
        assert timer(queue, "a") == pytest.approx(FIRST_DELAY_SECONDS, abs=0.02)

    run(body)


def test_failed_key_that_was_added_while_busy_waits_for_its_delay_and_is_not_lost() -> None:
    async def body(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.done("a", failed=True)
        assert await idle(queue)
        assert await queue.get() == "a"

    run(body)


def test_event_does_not_wait_for_the_delay_of_a_failure() -> None:
    async def body(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        queue.done("a", failed=True)
        queue.add("a")
        assert await asyncio.wait_for(queue.get(), 0.02) == "a"

    run(body)


def test_timer_fires_and_comes_once() -> None:
    async def body(queue: Queue) -> None:
        queue.add_after("a", 0.03)
        assert await idle(queue, 0.01)
        assert await queue.get() == "a"
        queue.done("a")
        assert await idle(queue, 0.05)

    run(body)


def test_earliest_timer_of_a_key_is_kept() -> None:
    async def body(queue: Queue) -> None:
        queue.add_after("a", 50)
        queue.add_after("a", 10)
        queue.add_after("a", 30)
        assert timer(queue, "a") == pytest.approx(10, abs=0.05)

    run(body)


def test_work_on_a_key_cancels_its_timer() -> None:
    async def body(queue: Queue) -> None:
        queue.add_after("a", 0.02)
        queue.add("a")
        await queue.get()
        queue.done("a")
        assert await idle(queue, 0.05)

    run(body)


def test_timer_that_fires_while_the_key_is_busy_comes_afterwards() -> None:
    async def body(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        queue.add_after("a", 0)
        await asyncio.sleep(0.01)
        queue.done("a")
        assert await queue.get() == "a"

    run(body)


def test_time_that_has_passed_is_now() -> None:
    async def body(queue: Queue) -> None:
        queue.add_after("a", -5)
        assert await asyncio.wait_for(queue.get(), 1) == "a"

    run(body)


def test_many_workers_work_on_every_key_and_never_on_one_at_the_same_time() -> None:
    async def body(queue: Queue) -> None:
        busy: set[str] = set()
        worked: dict[str, int] = {}

        async def worker() -> None:
            while True:
                key = await queue.get()
                assert key not in busy
                busy.add(key)
                await asyncio.sleep(0)
                worked[key] = worked.get(key, 0) + 1
                busy.remove(key)
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(4)]
        for number in range(400):
            queue.add(f"k{number % 20}")
            if number % 7 == 0:
                await asyncio.sleep(0)
        while len(queue):
            await asyncio.sleep(0)
        assert set(worked) == {f"k{number}" for number in range(20)}
        for task in workers:
            task.cancel()

    run(body)


def test_timer_that_was_replaced_by_an_earlier_one_does_not_fire() -> None:
    async def body(queue: Queue) -> None:
        queue.add_after("a", 0.06)
        queue.add_after("a", 0.01)
        assert await queue.get() == "a"
        queue.done("a")
        assert await idle(queue, 0.1)

    run(body)


def test_cleared_it_gives_nothing_and_keeps_no_timer_and_no_failure() -> None:
    async def body(queue: Queue) -> None:
        queue.add("busy")
        await queue.get()
        queue.add("failed")
        await queue.get()
        queue.done("failed", failed=True)
        queue.add("busy")
        queue.add("waiting")
        queue.add_after("later", 0.01)
        queue.clear()
        assert len(queue) == 1, "what is being worked on"
        assert timer(queue, "failed") is None
        assert await idle(queue, 0.05)
        queue.done("busy")
        assert await idle(queue)
        queue.add("waiting")
        assert await queue.get() == "waiting"

    run(body)


def test_cleared_while_a_worker_waits_it_gives_that_worker_the_next_key() -> None:
    async def body(queue: Queue) -> None:
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("dropped")
        queue.clear()
        queue.add("next")
        assert await worker == "next"

    run(body)
