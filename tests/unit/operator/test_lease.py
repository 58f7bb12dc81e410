"""One holder at a time, judged by each one's own clock."""

from __future__ import annotations

import socket
import tempfile
import threading
from pathlib import Path

import pytest
from kubernetes import client
from urllib3.exceptions import ReadTimeoutError

from services.operator import cluster as cluster_module
from services.operator.cluster import Client, Cluster, KindMissing
from services.operator.lease import DURATION_SECONDS, GIVE_UP_SECONDS, RENEW_SECONDS, REQUEST_TIMEOUT, Fenced, Lease
from services.operator.rayjob import RAY_API_VERSION
from services.shared.errors import Unavailable
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


def test_there_is_time_for_several_attempts_before_a_holder_gives_up() -> None:
    assert REQUEST_TIMEOUT[1] + RENEW_SECONDS < GIVE_UP_SECONDS < DURATION_SECONDS


def test_nothing_is_written_by_who_was_frozen_until_the_lease_ran_out(
    fake: FakeKubernetes, cluster: Cluster, clocks: tuple[Clock, Clock]
) -> None:
    first, second = pair(cluster, clocks)
    assert first.try_hold()
    ours = Fenced(cluster, first)
    child = {"apiVersion": RAY_API_VERSION, "kind": "RayJob", "metadata": {"name": "child", "namespace": "lima"}}
    ours.apply(child)
    for clock in clocks:
        clock.now += GIVE_UP_SECONDS
    seen = len(fake.requests)
    for write in (
        lambda: ours.apply(child),
        lambda: ours.create(child),
        lambda: ours.delete(child),
        lambda: ours.patch_status(RAY_API_VERSION, "RayJob", "child", {}),
    ):
        with pytest.raises(Unavailable, match="lease"):
            write()
    assert len(fake.requests) == seen, "the server heard nothing of it"
    assert not second.try_hold(), "and nobody else acts yet"


def test_a_lease_is_renewed_while_a_missing_kind_is_looked_for(cluster: Cluster, clocks: tuple[Clock, Clock]) -> None:
    first, _ = pair(cluster, clocks)
    assert first.try_hold()
    with cluster._discovery:
        renewing = threading.Thread(target=first.try_hold, daemon=True)
        renewing.start()
        renewing.join(10)
        assert not renewing.is_alive()


@pytest.mark.timeout(60)
def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in discovery either, for which the client library itself sets no limit."""
    monkeypatch.setattr(cluster_module, "REQUEST_TIMEOUT", (3.0, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = client.Configuration(host=f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings.retries = False
        with pytest.raises(ReadTimeoutError):
            Cluster(Client(settings), "lima").get("v1", "ConfigMap", "any")


def test_what_is_discovered_is_kept_in_no_file(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cluster.get(RAY_API_VERSION, "RayJob", "missing") is None
    with pytest.raises(KindMissing):
        cluster.get(RAY_API_VERSION, "Unheard", "of")
    assert list(tmp_path.iterdir()) == []
