"""The queue: every key once, no change lost, failures later and later."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from services.operator.workqueue import WorkQueue


def test_a_key_waits_once_and_the_sooner_time_counts() -> None:
    queue = WorkQueue()
    queue.add("a", after_seconds=60)
    queue.add("a")
    queue.add("a", after_seconds=60)
    assert queue.get() == "a"
    assert len(queue) == 1
    queue.done("a")
    assert len(queue) == 0


def test_a_change_during_the_work_means_work_again_but_not_at_the_same_time() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    queue.add("b")
    assert queue.get() == "b"
    queue.done("a")
    assert queue.get() == "a"


def test_failures_wait_twice_as_long_until_forgiven() -> None:
    queue = WorkQueue()
    assert [queue.retry("a") for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    assert [queue.retry("a") for _ in range(20)][-1] == 60.0
    queue.forgive("a")
    assert queue.retry("a") == 0.2


def test_closing_ends_those_who_wait() -> None:
    queue = WorkQueue()
    waiting = threading.Thread(target=queue.get)
    waiting.start()
    queue.close()
    waiting.join(timeout=10)
    assert not waiting.is_alive()


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_every_key_that_was_added_is_worked_on(keys: list[str]) -> None:
    queue = WorkQueue()
    for key in keys:
        queue.add(key)
    done = []
    while len(queue):
        key = queue.get()
        assert key is not None
        queue.done(key)
        done.append(key)
    assert sorted(done) == sorted(set(keys))
