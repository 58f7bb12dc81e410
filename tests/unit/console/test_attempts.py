from __future__ import annotations

import pytest

from services.console.attempts import MOST_ADDRESSES, Attempts, origin_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_after_too_many_refusals_an_address_waits(clock: Clock) -> None:
    attempts = Attempts(most=3, window_seconds=60, clock=clock)
    for _ in range(3):
        assert attempts.wait_seconds("192.0.2.1") == 0
        attempts.refused("192.0.2.1")
        clock.now += 10
    # The oldest of the three was 30 seconds ago.
    assert attempts.wait_seconds("192.0.2.1") == 30
    assert attempts.wait_seconds("192.0.2.2") == 0
    clock.now += 31
    assert attempts.wait_seconds("192.0.2.1") == 0
    attempts.refused("192.0.2.1")
    assert attempts.wait_seconds("192.0.2.1") > 0


def test_many_addresses_take_no_more_memory(clock: Clock) -> None:
    attempts = Attempts(most=1, clock=clock)
    for number in range(MOST_ADDRESSES + 1):
        attempts.refused(f"address {number}")
    assert attempts.wait_seconds("address 0") == 0
    assert attempts.wait_seconds(f"address {MOST_ADDRESSES}") > 0


def test_a_network_of_ipv6_is_one_origin() -> None:
    assert origin_of("2001:db8::1") == origin_of("2001:db8::ffff:1")
    assert origin_of("2001:db8:0:1::1") != origin_of("2001:db8::1")
    assert origin_of("192.0.2.1") != origin_of("192.0.2.2")
