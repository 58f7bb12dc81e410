"""Our rules and Kubernetes' schemas together catch what an API server would refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chart.rules import quantity, violations
from tests.chart.schemas import MINORS, SHARED, load_all, problems, shared

BROKEN = sorted(path.name for path in (SHARED / "broken-manifests").glob("bad-*.yaml"))


def complaints(name: str) -> list[str]:
    found = []
    for manifest in load_all((shared("broken-manifests") / name).read_text()):
        found += problems(manifest, MINORS[-1]) + violations(manifest)
    return found


def test_the_folder_of_broken_manifests_is_whole() -> None:
    shared("broken-manifests")
    assert len(BROKEN) == 20


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_is_caught(name: str) -> None:
    assert complaints(name)


def test_a_good_manifest_passes() -> None:
    assert complaints("good.yaml") == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"entrypoint": "python x.py", "submissionMode": "Foo"}, "submissionMode"),
        ({"submissionMode": "HTTPMode"}, "entrypoint"),
        ({"entrypoint": "x", "backoffLimit": -2}, "backoffLimit"),
        ({"entrypoint": "x", "ttlSecondsAfterFinished": 60}, "shutdownAfterJobFinishes"),
        ({"entrypoint": "x", "shutdownAfterJobFinishes": True, "deletionStrategy": {"onSuccess": {}}}, "excludes"),
    ],
)
def test_a_ray_job_that_kuberay_takes_and_then_forgets_is_caught(spec: dict[str, object], complaint: str) -> None:
    found = violations({"kind": "RayJob", "metadata": {"name": "job"}, "spec": spec})
    assert [complaint in line for line in found] == [True]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("100m", 0.1),
        ("1Ki", 1024),
        ("2Gi", 2 * 1024**3),
        ("1.5M", 1_500_000),
        ("1e3", 1000),
        ("0.5Ti", 2**39),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str, number: float) -> None:
    assert float(quantity(text) or 0) == pytest.approx(number)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    amount = quantity(text)
    assert amount is None or amount.is_finite()
