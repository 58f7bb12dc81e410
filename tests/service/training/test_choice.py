"""`lima train select` and `answers` on a run in a real S3 server, before real services."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lima.inference.v1 import model_pb2, model_pb2_grpc
from services.cli.commands.training import app
from services.inference.openai_front import serving
from services.inference.service import NAME, assembled
from services.inference.settings import InferenceSettings
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.records import Response, RunPhase, RunStatus, Turn
from services.shared.rpc.client import connect
from services.shared.rpc.server import running
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.tiny_served_model import write_served_model
from training_jobs.registration import register
from training_jobs.run_folder import RunFolder
from training_jobs.selection import by_people, record
from training_jobs.spec import parse_spec
from training_jobs.storage import FolderStorage


def answer(prompt: str, text: str) -> Response:
    turns = (Turn(role="user", content=prompt),)
    return Response(
        prompt_id=prompt,
        messages=turns,
        response=text,
        model="m",
        finish_reason="stop",
        prompt_tokens=2,
        completion_tokens=3,
    )


@pytest.fixture
def run(settings: Settings, object_store: ObjectStore, tmp_path: Path) -> RunFolder:
    """A run of six epochs, of which the last two are kept and answered."""
    folder = RunFolder.open("tuned", "", settings)
    folder.claim(parse_spec({"run": "tuned", "base_model": "m", "dataset": "d"}))
    status = RunStatus(run="tuned", phase=RunPhase.SUCCEEDED, total_epochs=6, updated=datetime.now(UTC))
    folder.write_status(status)
    checkpoint = write_served_model(tmp_path / "model")
    for epoch in (5, 6):
        object_store.put_folder(f"runs/tuned/checkpoints/epoch-{epoch:02d}", checkpoint, {"epoch": epoch})
        line = answer("tea?", f"hot, says epoch {epoch}").model_dump_json() + "\n"
        object_store.put_bytes(f"runs/tuned/answers/epoch-{epoch:02d}.jsonl", line.encode())
    return folder


@pytest.fixture
async def inference(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a running front. No replica: registering copies a folder, and asks none."""
    values = settings.model_dump() | {"replica_url": "http://127.0.0.1:9", "metrics_port": 0}
    own = InferenceSettings(**values)
    async with (
        assembled(own) as front,
        serving(own, front.generation, front.registry),
        running(own, NAME, front.services, operations=front.operations) as server,
    ):
        for name in ("endpoint", "access_key", "bucket", "region"):
            monkeypatch.setenv(f"LIMA_OBJECT_STORE_{name.upper()}", str(getattr(settings, f"object_store_{name}")))
        secret = settings.object_store_secret_key.get_secret_value()
        monkeypatch.setenv("LIMA_OBJECT_STORE_SECRET_KEY", secret)
        monkeypatch.setenv("LIMA_STATE_DIR", str(settings.state_dir))
        monkeypatch.setenv("LIMA_TOKEN", TOKEN)
        monkeypatch.setenv("LIMA_INFERENCE_ADDRESS", server.address)
        yield server.address


async def lima_train(*arguments: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    # The front runs in this process, and what it logs meanwhile lands in the same place.
    return "\n".join(line for line in result.stdout.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line))


async def test_the_choice_its_evidence_and_the_served_version_are_recorded(run: RunFolder, inference: str) -> None:
    shown = json.loads(await lima_train("answers", "tuned", "--epoch", "5", "--json"))
    assert [found["response"] for found in shown] == ["hot, says epoch 5"]
    assert "hot, says epoch 6" in await lima_train("answers", "tuned")
    chosen = json.loads(
        await lima_train("select", "tuned", "--epoch", "5", "--note", "reads best", "--register", "assistant", "--json")
    )
    assert (chosen["checkpoint"], chosen["by"], chosen["reason"]) == ("checkpoints/epoch-05", "people", "reads best")
    assert run.read_json("selection.json") == chosen
    status = run.status()
    assert status is not None
    assert status.selected_checkpoint == "checkpoints/epoch-05"
    async with connect(inference, TOKEN) as channel:
        models: Any = model_pb2_grpc.ModelServiceStub(channel)
        found = await models.GetModel(model_pb2.GetModelRequest(name=chosen["model"]))
    assert found.name.startswith("models/assistant/versions/")


async def test_what_was_chosen_before_is_what_is_registered(run: RunFolder, inference: str) -> None:
    record(run, by_people(run, 6, "chosen by the judging service, say"))
    chosen = json.loads(await lima_train("select", "tuned", "--register", "assistant", "--json"))
    assert chosen["checkpoint"] == "checkpoints/epoch-06"
    assert chosen["model"].startswith("models/assistant/")


def test_a_run_in_a_local_folder_cannot_be_handed_over(run: RunFolder, settings: Settings, tmp_path: Path) -> None:
    local = RunFolder(FolderStorage(tmp_path), "tuned", "tuned")
    with pytest.raises(InvalidInput, match="must lie in the object store"):
        register(local, by_people(run, 5, ""), "assistant", settings)
