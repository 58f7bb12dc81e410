"""One holder at a time, judged by each one's own clock."""

from __future__ import annotations

import pytest

from services.operator.cluster import Cluster
from services.operator.lease import DURATION_SECONDS, GIVE_UP_SECONDS, Lease
from tests.unit.operator.fake_kubernetes import FakeKubernetes


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clocks() -> tuple[Clock, Clock]:
    """Two nodes whose clocks are days apart."""
    return Clock(100.0), Clock(900_000.0)


def pair(cluster: Cluster, clocks: tuple[Clock, Clock]) -> tuple[Lease, Lease]:
    return Lease(cluster, "lima", "a", clocks[0]), Lease(cluster, "lima", "b", clocks[1])


def test_the_second_waits_until_the_first_was_silent_for_the_whole_term(
    cluster: Cluster, clocks: tuple[Clock, Clock]
) -> None:
    first, second = pair(cluster, clocks)
    assert first.try_hold()
    assert not second.try_hold()
    clocks[1].now += DURATION_SECONDS - 1
    assert not second.try_hold()
    assert first.try_hold(), "renewed: the second's wait begins anew"
    clocks[1].now += DURATION_SECONDS - 1
    assert not second.try_hold()
    clocks[1].now += DURATION_SECONDS + 1
    assert second.try_hold()


def test_a_holder_stops_before_another_may_take_over(
    fake: FakeKubernetes, cluster: Cluster, clocks: tuple[Clock, Clock]
) -> None:
    first, _ = pair(cluster, clocks)
    assert first.try_hold()
    fake.down = True
    clocks[0].now += GIVE_UP_SECONDS - 1
    assert first.try_hold(), "no server, but nobody can have taken it yet"
    clocks[0].now += 1
    assert not first.try_hold()
    assert GIVE_UP_SECONDS < DURATION_SECONDS


def test_a_lease_given_back_is_free_at_once(cluster: Cluster, clocks: tuple[Clock, Clock]) -> None:
    first, second = pair(cluster, clocks)
    assert first.try_hold()
    first.give_back()
    assert second.try_hold()
    assert not first.try_hold()


def test_of_two_writes_at_once_one_wins(fake: FakeKubernetes, cluster: Cluster, clocks: tuple[Clock, Clock]) -> None:
    first, second = pair(cluster, clocks)
    assert first.try_hold()
    first.give_back()
    fake.fail_next("update", 409)
    assert not second.try_hold()
    assert second.try_hold()
