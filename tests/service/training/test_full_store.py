"""An S3 server whose disk fills up in the middle of an upload."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from services.shared.errors import FailedPrecondition
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.fixtures.seaweedfs import running_seaweedfs
from tests.fixtures.tiny_language_model import write_base_model, write_dataset
from training_jobs import driver
from training_jobs.run_folder import RunFolder
from training_jobs.spec import parse_spec


def losses(run: RunFolder) -> list[float]:
    return [row.loss for row in run.metrics()]


def test_a_full_store_stops_the_run_and_one_with_room_goes_on(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One state and one checkpoint fit, a second pair does not: nothing half-written, and no step is lost."""
    monkeypatch.setattr("training_jobs.store_sync.RETRY_SECONDS", 0.0)
    described = {
        "run": "full",
        "base_model": str(write_base_model(tmp_path / "base")),
        "dataset": str(write_dataset(tmp_path / "dataset", train=8, dev=2)),
        "recipe": {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3},
        "compute": {"engine": "bare", "threads": 1},
        "evaluation": {"stop_check": 0},
    }
    local = Settings(state_dir=tmp_path / "state")
    undisturbed = parse_spec(described | {"output": str(tmp_path / "runs")})
    driver.run(undisturbed, local)
    # The server keeps its volumes in a temporary folder.
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with running_seaweedfs() as server:
        settings = local.model_copy(
            update={
                "object_store_endpoint": server.endpoint,
                "object_store_access_key": server.access_key,
                "object_store_secret_key": Settings(object_store_secret_key=server.secret_key).object_store_secret_key,
                "object_store_bucket": "test-full",
                "object_store_attempts": 1,
            }
        )
        spec = parse_spec(described)
        with pytest.raises(FailedPrecondition, match="could not be written") as caught:
            driver.run(spec, settings)
        assert "free some space" in caught.value.remedy
        store = ObjectStore.from_settings(settings)
        for kind in ("checkpoints", "state"):
            complete = [name for name in store.list_folders(f"runs/full/{kind}") if _is_whole(store, kind, name)]
            assert complete, f"the last good {kind} stays"
        assert store.get_manifest("runs/full/checkpoints/epoch-03") is None
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        assert driver.run(spec, settings).phase is RunPhase.SUCCEEDED
        found = losses(RunFolder.open("full", "", settings))
    assert found == pytest.approx(losses(RunFolder.open("full", undisturbed.output, local)), rel=1e-6)


def _is_whole(store: ObjectStore, kind: str, name: str) -> bool:
    manifest = store.get_manifest(f"runs/full/{kind}/{name}")
    if manifest is None:
        return False
    for entry in manifest["files"]:
        found = store.stat(f"runs/full/{kind}/{name}/{entry['path']}")
        assert found is not None
        assert found.size == entry["size"]
    return True
