"""Whole programs in processes of their own: a server that is told to stop, and the preparing commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect_blocking
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.probe import ProbeStub

SERVER = """
import sys
from services.shared.program import run_program
from services.shared.rpc.server import serve
from tests.fixtures.probe import probe_service, tell_caller
async def main(settings):
    await serve(settings, "probe", [probe_service(tell_caller)])
sys.exit(run_program("probe", main))
"""


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LIMA_STATE_DIR": str(settings.state_dir),
        "LIMA_OBJECT_STORE_ENDPOINT": settings.object_store_endpoint,
        "LIMA_OBJECT_STORE_ACCESS_KEY": settings.object_store_access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": settings.object_store_secret_key.get_secret_value(),
        "LIMA_OBJECT_STORE_BUCKET": settings.object_store_bucket,
        "LIMA_OBJECT_STORE_CREATE_BUCKET": "false",
        "LIMA_TOKEN": TOKEN,
        **more,
    }


def test_a_server_stops_cleanly_when_it_is_told_to(settings: Settings, pytestconfig: pytest.Config) -> None:
    ready = settings.state_dir / "probe.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=environment(settings, LIMA_READY_FILE=str(ready)),
        cwd=pytestconfig.rootpath,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not ready.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        assert told["pid"] == process.pid
        with connect_blocking(told["address"], TOKEN) as channel:
            assert ProbeStub(channel).Say(StringValue(value="hi")).value == "hi from operator (OPERATOR)"
        second = subprocess.run(
            [sys.executable, "-c", SERVER],
            env=environment(settings, LIMA_READY_FILE=str(ready), LIMA_PORT=str(told["port"])),
            cwd=pytestconfig.rootpath,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert second.returncode == 1
        assert "cannot listen on" in second.stderr
        assert "Traceback" not in second.stderr
        assert json.loads(ready.read_text()) == told
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    assert [json.loads(line)["event"] for line in output.splitlines()] == ["server is up", "rpc", "server is down"]
    assert not ready.exists()


def run(settings: Settings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment(settings, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_wrong_setting_is_one_message_without_a_traceback(settings: Settings) -> None:
    ended = run(settings, "services.shared.bucket", LIMA_PORT="http")
    assert ended.returncode == 1
    assert "LIMA_PORT = 'http'" in ended.stderr
    assert "remedy:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_misspelt_variable_is_told(settings: Settings) -> None:
    ended = run(settings, "services.shared.bucket", LIMA_OBJECT_STORE_ENDPONT="http://elsewhere")
    assert ended.returncode == 0
    line = json.loads(ended.stderr.splitlines()[0])
    assert (line["variable"], line["did_you_mean"]) == ("LIMA_OBJECT_STORE_ENDPONT", "LIMA_OBJECT_STORE_ENDPOINT")


def test_the_bucket_is_created_on_request(settings: Settings, object_store: ObjectStore) -> None:
    for _ in range(2):
        ended = run(settings, "services.shared.bucket")
        assert ended.returncode == 0, ended.stderr
    allowed = settings.model_copy(update={"object_store_create_bucket": False})
    assert list(ObjectStore.from_settings(allowed).list()) == []


def test_tables_are_migrated_on_request(settings: Settings) -> None:
    for _ in range(2):
        ended = run(settings, "services.shared.migrate", "operator")
        assert ended.returncode == 0, ended.stderr
    assert (settings.state_dir / "operator.db").exists()
    for name in ("nobody", "../shared"):
        ended = run(settings, "services.shared.migrate", name)
        assert ended.returncode == 1
        assert "must be the name of a service" in ended.stderr


def test_what_does_not_answer_is_waited_for_and_then_told(settings: Settings, tmp_path: Path) -> None:
    ended = run(
        settings,
        "services.shared.migrate",
        "operator",
        "--wait=1",
        LIMA_DATABASE_URL="postgresql://lima:hunter2@127.0.0.1:1/lima",
    )
    assert ended.returncode == 1
    assert "does not answer" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
