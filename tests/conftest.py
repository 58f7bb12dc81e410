"""Fixtures for every room: a real S3 server for the session, a fresh bucket and settings per test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.objects import ObjectStore
from services.shared.settings import PREFIX, Settings
from tests.fixtures.seaweedfs import S3Server, running_seaweedfs

TOKEN = "test-token-of-an-operator"


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_developer() -> None:
    """A developer's own LIMA_ variables must not steer the tests; the folder of real data may."""
    for variable in [name for name in os.environ if name.startswith(PREFIX) and name != "LIMA_SHARED_DATA"]:
        del os.environ[variable]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with running_seaweedfs() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, s3_server: S3Server) -> Settings:
    """Settings with a state directory, a bucket and a token of this test's own."""
    return Settings(
        state_dir=tmp_path / "state",
        object_store_endpoint=s3_server.endpoint,
        object_store_access_key=s3_server.access_key,
        object_store_secret_key=s3_server.secret_key,
        object_store_bucket=f"test-{secrets.token_hex(6)}",
        token=TOKEN,
        shutdown_notice_seconds=0,
        log_format="json",
    )


@pytest.fixture
def object_store(settings: Settings) -> ObjectStore:
    return ObjectStore.from_settings(settings)
