"""One stack for all tests of the console: each test names what it makes by itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.seaweedfs import S3Server
from tests.service.console.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Stack]:
    settings = Settings(
        state_dir=tmp_path_factory.mktemp("console"),
        object_store_endpoint=s3_server.endpoint,
        object_store_access_key=s3_server.access_key,
        object_store_secret_key=s3_server.secret_key,
        object_store_bucket=f"test-{secrets.token_hex(6)}",
        token=TOKEN,
        shutdown_notice_seconds=0,
        log_format="json",
    )
    with running_stack(settings) as running:
        yield running
