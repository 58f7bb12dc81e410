"""Fixtures for every room: a real S3 server for the session, a fresh bucket and settings per test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from services.shared.objects import ObjectStore
from services.shared.settings import PREFIX, Settings
from tests.fixtures.postgresql import PostgresqlMissing, running_postgresql
from tests.fixtures.seaweedfs import S3Server, running_seaweedfs
from tests.fixtures.small_disk import MountRefused, mounted_disk

# A busy machine must not fail a property: no test asserts a time.
hypothesis.settings.register_profile("lima", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("lima")

TOKEN = "test-token-of-an-operator"


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_developer() -> None:
    """A developer's own LIMA_ variables must not steer the tests; the folder of real data may."""
    for variable in [name for name in os.environ if name.startswith(PREFIX) and name != "LIMA_REAL_DATA"]:
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


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgresql())
        except PostgresqlMissing as error:
            pytest.skip(f"no PostgreSQL here: {error}")
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of a fresh PostgreSQL database; the test is skipped where none can run."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgresql_server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings without an object store, once for each kind of database."""
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""
    return Settings(
        state_dir=tmp_path / "state", database_url=url, token=TOKEN, shutdown_notice_seconds=0, log_format="json"
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 4 MiB; the test is skipped where nothing may be mounted."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted_disk(tmp_path / "disk", 4))
        except MountRefused as error:
            pytest.skip(f"no small file system can be mounted here: {error}")
        yield disk
