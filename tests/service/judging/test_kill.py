"""A judged run that is killed with SIGKILL goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect
from services.shared.settings import PREFIX, Settings
from tests.conftest import TOKEN
from tests.service.judging.conftest import PATIENCE_SECONDS, put_responses, response, spec
from tests.service.judging.fake_inference import FakeInference, running_fake

PROMPTS = 40
CONCURRENCY = 4


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a program of its own reads them."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    given = settings.model_dump(exclude_none=True, exclude_defaults=True)
    secrets = {"token": TOKEN, "object_store_secret_key": settings.object_store_secret_key.get_secret_value()}
    return own | {f"{PREFIX}{name.upper()}": str(value) for name, value in {**given, **secrets}.items()}


async def start(settings: Settings) -> tuple[asyncio.subprocess.Process, str]:
    """A judging server as a process, and its address."""
    ready = settings.state_dir / "ready.json"
    ready.unlink(missing_ok=True)
    own = settings.model_copy(update={"ready_file": ready, "operation_lease_seconds": 4.0})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.judging", env=environment(own), stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(ready.exists):
            assert process.returncode is None
            await asyncio.sleep(0.05)
    return process, json.loads(await asyncio.to_thread(Path.read_text, ready))["address"]


async def test_no_verdict_is_asked_for_twice(settings: Settings, object_store: ObjectStore) -> None:
    fake = FakeInference(latency=0.05)
    texts = {name: [response(f"p{n}", name * (n + 1)) for n in range(PROMPTS)] for name in ("ab", "c")}
    systems = {name: put_responses(object_store, name, rows) for name, rows in texts.items()}
    wanted = spec("killed", systems, judges=[{"name": "j", "model": "models/fake", "concurrency": CONCURRENCY}])
    async with running_fake(fake, settings) as address:
        settings = settings.model_copy(update={"inference_address": address})
        process, judging = await start(settings)
        try:
            async with connect(judging, TOKEN) as channel:
                stub = judging_pb2_grpc.JudgingServiceStub(channel)
                await stub.CreateStudy(judging_pb2.CreateStudyRequest(spec=wanted))
                await stub.RunStudy(judging_pb2.RunStudyRequest(name="studies/killed"))
                await verdicts_reach(stub, PROMPTS // 2)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            before = list(fake.asked)

            process, judging = await start(settings)
            async with connect(judging, TOKEN) as channel:
                stub = judging_pb2_grpc.JudgingServiceStub(channel)
                # Nobody asks for a run: the operation is taken up again by itself.
                await verdicts_reach(stub, 2 * PROMPTS)
                results = await stub.GetResults(judging_pb2.GetResultsRequest(name="studies/killed"))
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    assert results.pairs[0].wins == PROMPTS, results
    # Only calls whose answer had not arrived when a run ended may be asked again. One run ended with the process;
    # on a busy machine a run may also lose its lease, and begins again by itself.
    assert fake.runs >= 2
    lost = CONCURRENCY * (fake.runs - 1)
    repeated = [question for question, count in Counter(fake.asked).items() if count > 1]
    assert len(repeated) <= lost
    assert len(before) < 2 * PROMPTS
    assert len(fake.asked) <= 2 * PROMPTS + lost


async def verdicts_reach(stub: judging_pb2_grpc.JudgingServiceStub, count: int) -> None:
    """Wait for so many answers: a call that failed is a verdict too, but says nothing about the answers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            # Its state first: whoever reads a study as ended then finds all its answers counted.
            study = await stub.GetStudy(judging_pb2.GetStudyRequest(name="studies/killed"))
            progress = await stub.GetStudyProgress(judging_pb2.GetStudyProgressRequest(name="studies/killed"))
            (judge,) = progress.judges
            if judge.done - judge.failed >= count:
                return
            assert study.state in (study_pb2.Study.STATE_OPEN, study_pb2.Study.STATE_RUNNING), study
            await asyncio.sleep(0.05)
