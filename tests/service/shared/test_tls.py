"""TLS and mutual TLS with certificates that openssl makes for the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.shared.errors import InvalidInput
from services.shared.rpc.client import connect
from services.shared.rpc.server import running
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.ports import free_port
from tests.fixtures.probe import ProbeStub, probe_service, tell_caller

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates; it is missing")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, which is its own authority."""
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


async def say(settings: Settings, address: str) -> str:
    async with connect(address, TOKEN, settings=settings, seconds=5) as channel:
        return str((await ProbeStub(channel).Say(StringValue(value="hi"))).value)


async def test_tls_by_setting(tmp_path: Path) -> None:
    server_certificate, server_key = certificate(tmp_path, "server")
    other_certificate, other_key = certificate(tmp_path, "other")
    settings = Settings(
        state_dir=tmp_path,
        token=TOKEN,
        shutdown_notice_seconds=0,
        tls_certificate_file=server_certificate,
        tls_key_file=server_key,
        health_port=free_port(),
    )
    trusting = Settings(tls_ca_file=server_certificate)
    async with running(settings, "probe", [probe_service(tell_caller)]) as server:
        assert await say(trusting, server.address) == "hi from operator (OPERATOR)"
        for stranger in (Settings(), Settings(tls_ca_file=other_certificate)):
            with pytest.raises(grpc.RpcError):
                await say(stranger, server.address)
        # The kubelet speaks plain text only.
        async with connect(f"127.0.0.1:{settings.health_port}") as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="liveness"))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError):
                await ProbeStub(channel).Say(StringValue(value="hi"))

    mutual = settings.model_copy(update={"tls_require_client_certificate": True, "tls_ca_file": other_certificate})
    async with running(mutual, "probe", [probe_service(tell_caller)]) as server:
        with_certificate = Settings(
            tls_ca_file=server_certificate, tls_certificate_file=other_certificate, tls_key_file=other_key
        )
        assert await say(with_certificate, server.address) == "hi from operator (OPERATOR)"
        with pytest.raises(grpc.RpcError):
            await say(trusting, server.address)


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="LIMA_TLS_CA_FILE"):
        connect("127.0.0.1:1", settings=Settings(tls_ca_file=tmp_path / "none.pem"))
