"""A study over the epochs of a run picks its checkpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import grpc
import pytest

from lima.judging.v1 import judging_pb2, study_pb2
from services.shared.records import RunPhase, RunStatus
from services.shared.rpc.status import to_error
from tests.service.judging.conftest import Judging, spec
from tests.service.judging.fake_inference import sides

EPOCHS = (4, 5, 6, 7)


def score_by_length(question: str, attempt: int) -> str:
    return f"Counted the words.\nVerdict: {min(6, len(sides(question)[''].split()))}"


async def select(judging: Judging, name: str, protocol: int) -> dict[str, object]:
    # The longest answers are those of epoch 4, outside the window; within it those of epoch 6.
    words = {4: 6, 5: 2, 6: 5, 7: 3}
    systems = {
        f"epoch-{epoch:02d}": judging.put_responses(f"e{epoch}", {f"p{n}": "word " * words[epoch] for n in range(5)})
        for epoch in EPOCHS
    }
    window = study_pb2.Selection(run="runs/tuned", first_epoch=5, last_epoch=10)
    wanted = spec(name, systems, protocol=protocol, selection=window)
    study = await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=wanted))
    await judging.run(study.name)
    return dict(json.loads(judging.store.get_bytes("runs/tuned/selection.json")))


async def test_the_best_epoch_of_the_window_is_recorded(judging: Judging) -> None:
    status = RunStatus(run="tuned", phase=RunPhase.SUCCEEDED, updated=datetime.now(UTC))
    judging.store.put_bytes("runs/tuned/status.json", status.model_dump_json().encode())
    judging.fake.reply = score_by_length
    chosen = await select(judging, "by-score", study_pb2.PROTOCOL_LIKERT)
    assert (chosen["checkpoint"], chosen["epoch"], chosen["by"]) == ("checkpoints/epoch-06", 6, "study")
    assert chosen["evidence"] == {"epoch-05": 2.0, "epoch-06": 5.0, "epoch-07": 3.0}
    kept = RunStatus.model_validate_json(judging.store.get_bytes("runs/tuned/status.json"))
    assert kept.selected_checkpoint == "checkpoints/epoch-06"


async def test_comparisons_choose_too(judging: Judging) -> None:
    chosen = await select(judging, "by-pairs", study_pb2.PROTOCOL_PAIRWISE)
    assert chosen["epoch"] == 6


async def test_systems_must_be_epochs(judging: Judging) -> None:
    systems = {name: judging.put_responses(name, {"p": name}) for name in ("epoch-05", "best")}
    wanted = spec("wrong", systems, selection=study_pb2.Selection(run="runs/tuned"))
    with pytest.raises(grpc.RpcError) as caught:
        await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=wanted))
    assert "epoch-05" in str(to_error(caught.value))
