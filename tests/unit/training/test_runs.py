"""What a run keeps in its folder, how it is claimed, and how uploads fail."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.shared.records import MetricsRow, RunPhase, RunStatus
from services.shared.settings import Settings
from training_jobs import driver, selection
from training_jobs.journal import restarted
from training_jobs.planning import parse_bytes, plan_report, refuse_what_cannot_fit
from training_jobs.run_folder import RunFolder
from training_jobs.spec import parse_spec
from training_jobs.storage import FolderStorage, fetch_folder

MINIMAL = {"run": "r1", "base_model": "m", "dataset": "d"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(FolderStorage(tmp_path), "r1", "r1")


def row(kind: str, step: int, epoch: float, loss: float) -> MetricsRow:
    perplexity = loss * 10 if kind == "evaluation" else None
    return MetricsRow.model_validate(
        {"kind": kind, "step": step, "epoch": epoch, "loss": loss, "perplexity": perplexity, "time": datetime.now(UTC)}
    )


def with_epochs(run: RunFolder, tmp_path: Path, losses: Mapping[int, float]) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_text("weights")
    rows = []
    for epoch, loss in losses.items():
        run.storage.put_folder(run.key(f"checkpoints/epoch-{epoch:02d}"), tmp_path / "weights", {"epoch": epoch})
        rows += [row("step", 2 * epoch - 1, epoch - 0.5, loss + 1), row("step", 2 * epoch, epoch, loss + 2)]
        rows.append(row("evaluation", 2 * epoch, epoch, loss))
    run.storage.put_bytes(run.key("metrics.jsonl"), "\n".join(r.model_dump_json() for r in rows).encode())
    run.write_status(RunStatus(run="r1", phase=RunPhase.SUCCEEDED, updated=datetime.now(UTC)))


def test_a_name_with_other_settings_is_refused_and_they_are_named(run: RunFolder) -> None:
    run.claim(parse_spec(MINIMAL))
    run.claim(parse_spec({**MINIMAL, "compute": {"workers": 4}}))
    with pytest.raises(FailedPrecondition, match=r"other settings \(recipe\.seed\)"):
        run.claim(parse_spec({**MINIMAL, "recipe": {"seed": 1}}))


def test_two_live_processes_cannot_hold_one_run(run: RunFolder) -> None:
    with run.lease(), pytest.raises(Conflict, match="is being computed by process"), run.lease():
        pass
    with run.lease():
        pass


def test_the_lease_of_a_dead_process_is_taken_over_at_once(run: RunFolder) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    run.write_json(
        "lease.json",
        {"owner": "x", "host": socket.gethostname(), "pid": child.pid, "born": "1", "updated": time.time()},
    )
    with run.lease():
        assert (run.read_json("lease.json") or {})["owner"] != "x"


ELSEWHERE = {"owner": "x", "host": "elsewhere", "pid": 1, "born": "1"}


def test_a_lease_of_another_machine_that_has_run_out_is_taken_over(run: RunFolder) -> None:
    run.write_json("lease.json", {**ELSEWHERE, "updated": time.time() - 120})
    with run.lease():
        assert (run.read_json("lease.json") or {})["owner"] != "x"


@pytest.mark.parametrize("ahead", [0, 3600])
def test_a_machine_that_is_silent_loses_its_lease(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """As a pod that was killed: the next one has another name. What the other's clock says does not matter."""
    monkeypatch.setattr("training_jobs.run_folder.LEASE_SECONDS", 0.5)
    monkeypatch.setattr("training_jobs.run_folder.LISTEN_SECONDS", 0.05)
    run.write_json("lease.json", {**ELSEWHERE, "updated": time.time() + ahead})
    with run.lease():
        assert (run.read_json("lease.json") or {})["owner"] != "x"


def test_a_machine_that_is_heard_keeps_its_lease(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training_jobs.run_folder.LISTEN_SECONDS", 0.05)
    run.write_json("lease.json", {**ELSEWHERE, "updated": time.time()})
    heard = threading.Timer(0.2, lambda: run.write_json("lease.json", {**ELSEWHERE, "updated": time.time()}))
    heard.start()
    with pytest.raises(Conflict, match="on elsewhere"), run.lease():
        pass
    heard.join()


def test_anybody_may_ask_a_run_to_stop(run: RunFolder) -> None:
    assert run.stop_request() is None
    run.storage.put_bytes(run.key("cancel.json"), b'{"by": "a person"}')
    assert run.stop_request() == "cancel"
    run.forget_stop_requests()
    assert run.stop_request() is None


def test_folders_are_whole_or_absent(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "store")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.txt").write_text("a")
    storage.put_folder("models/m", tmp_path / "model", {"name": "m"})
    manifest = storage.get_manifest("models/m") or {}
    assert manifest["name"] == "m"
    assert [entry["path"] for entry in manifest["files"]] == ["a.txt"]
    storage.get_folder("models/m", tmp_path / "copy")
    assert (tmp_path / "copy" / "a.txt").read_text() == "a"
    storage.delete_prefix("models/m")
    assert storage.get_manifest("models/m") is None
    with pytest.raises(NotFound):
        storage.get_folder("models/m", tmp_path / "other")
    with pytest.raises(InvalidInput):
        storage.put_bytes("../outside", b"")


def test_a_folder_that_is_not_there_is_refused_by_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        fetch_folder(str(tmp_path / "absent"), Settings(), tmp_path, "base_model")
    assert caught.value.violations[0].field == "base_model"


def test_what_a_killed_upload_left_goes_with_the_next_state(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "state-00001.safetensors").write_text("new")
    states = tmp_path / "r1" / "state"
    for left in ("step-000003", ".step-000004.1.partial"):
        (states / left).mkdir(parents=True)
        (states / left / "state-00001.safetensors").write_text("half")
    assert run.state_steps() == []
    run.storage.put_folder(run.key("state/step-000005"), tmp_path / "new")
    run.drop_states_before(5)
    assert [path.name for path in states.iterdir()] == ["step-000005"]
    assert run.state_steps() == [5]


ROOM = {"CPU": 2.0, "memory": 1e9}


@pytest.mark.parametrize(
    ("compute", "lack"),
    [
        ({"workers": 2}, ""),
        ({"workers": 4, "cpus_per_worker": 0.5}, ""),
        ({"workers": 4, "min_workers": 2}, ""),
        ({"workers": 3}, "3 workers with compute.cpus_per_worker = 1 need 3 CPUs, and Ray has 2"),
        ({"workers": 1, "gpus_per_worker": 1}, "need 1 GPUs, and Ray has 0"),
    ],
)
def test_what_a_local_ray_can_never_start_is_refused(compute: dict[str, Any], lack: str) -> None:
    spec = parse_spec(MINIMAL | {"compute": compute})
    driver.refuse_without_room(spec, ROOM, may_grow=True)
    if lack:
        with pytest.raises(FailedPrecondition, match=lack) as caught:
            driver.refuse_without_room(spec, ROOM, may_grow=False)
        assert "lower compute.workers" in caught.value.remedy
    else:
        driver.refuse_without_room(spec, ROOM, may_grow=False)


def test_a_run_that_was_stopped_keeps_its_count_of_restarts(run: RunFolder) -> None:
    for phase, restarts in ((RunPhase.PENDING, 2), (RunPhase.RUNNING, 3)):
        run.write_status(RunStatus(run="r1", phase=phase, restarts=2, updated=datetime.now(UTC)))
        assert restarted(run, 5, {}).restarts == restarts


class AwayStorage(FolderStorage):
    """Takes and deletes nothing once it is away, as a full or unreachable store."""

    away = False

    def put_bytes(self, key: str, data: bytes) -> None:
        if self.away:
            raise Unavailable("the store is away")
        super().put_bytes(key, data)

    def delete(self, key: str) -> None:
        if self.away:
            raise Unavailable("the store is away")
        super().delete(key)


def test_a_store_that_is_away_does_not_hide_why_a_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = AwayStorage(tmp_path)

    def fail(*_: object) -> None:
        storage.away = True
        raise FailedPrecondition("it diverged")

    monkeypatch.setattr(RunFolder, "open", lambda *_: RunFolder(storage, "r1", "r1"))
    monkeypatch.setattr(driver, "_run_bare", fail)
    with pytest.raises(FailedPrecondition, match="it diverged"):
        driver.run(parse_spec({**MINIMAL, "compute": {"engine": "bare"}}), Settings())


def test_the_lowest_metric_within_the_window_is_chosen_and_recorded(run: RunFolder, tmp_path: Path) -> None:
    with_epochs(run, tmp_path, {3: 0.5, 5: 2.0, 6: 1.0, 7: 1.5})
    chosen = selection.by_metric(run, "perplexity", (5, 10))
    assert (chosen.checkpoint, chosen.evidence) == (
        "checkpoints/epoch-06",
        {"epoch-05": 20.0, "epoch-06": 10.0, "epoch-07": 15.0},
    )
    selection.record(run, chosen)
    status = run.status()
    assert status is not None
    assert status.selected_checkpoint == "checkpoints/epoch-06"
    assert (run.read_json("selection.json") or {})["by"] == "metric"


def test_a_short_run_chooses_among_all_its_epochs(run: RunFolder, tmp_path: Path) -> None:
    with_epochs(run, tmp_path, {1: 2.0, 2: 1.0})
    assert selection.by_metric(run, "training_loss", (5, 10)).epoch == 2
    assert selection.by_people(run, 1, "reads best").reason == "reads best"
    with pytest.raises(InvalidInput, match="epoch-01, epoch-02"):
        selection.by_people(run, 9, "")
    with pytest.raises(InvalidInput, match="must be one of"):
        selection.by_metric(run, "bleu", (5, 10))


@pytest.mark.parametrize("window", ["", "5", "10-5", "0-3", "a-b", "5-10-15"])
def test_a_malformed_window_is_refused(window: str) -> None:
    with pytest.raises(InvalidInput):
        selection.parse_window(window)


def test_win_rates_count_ties_half() -> None:
    from lima.judging.v1.judging_pb2 import PairResult, Results

    pairs = [
        PairResult(first="epoch-05", second="epoch-06", wins=1, ties=2, losses=7),
        PairResult(first="epoch-05", second="epoch-07", wins=5, ties=0, losses=5),
    ]
    assert selection.win_rates(Results(pairs=pairs)) == pytest.approx(
        {"epoch-05": 0.35, "epoch-06": 0.8, "epoch-07": 0.5}
    )


def small_model(tmp_path: Path) -> Path:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": 400,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_a_plan_says_whether_it_fits_and_what_would(tmp_path: Path) -> None:
    spec = parse_spec({**MINIMAL, "base_model": str(small_model(tmp_path)), "compute": {"micro_batch_tokens": 65536}})
    assert plan_report(spec, Settings(), "80GB").fits
    tight = plan_report(spec, Settings(), "200MB")
    assert not tight.fits
    assert "compute.micro_batch_tokens = 2048" in tight.advice
    with pytest.raises(FailedPrecondition, match="are there") as caught:
        refuse_what_cannot_fit(spec, json.loads((tmp_path / "config.json").read_text()), 200e6)
    assert "compute.micro_batch_tokens = 2048" in caught.value.remedy


@pytest.mark.parametrize(("text", "value"), [("80GB", 80e9), ("24 GiB", 24 * 2**30), ("1e9", 1e9), ("5", 5.0)])
def test_memory_is_read_with_its_unit(text: str, value: float) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "80 XB", "1e999", "80GB!"])
def test_senseless_memory_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_bytes(text)
