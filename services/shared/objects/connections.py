"""The HTTP connections to an S3 server: timeouts, bounded retries with jitter, and whom to trust."""

from __future__ import annotations

import os
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from services.shared.settings import Settings


def http_pool(settings: Settings) -> urllib3.PoolManager:
    retries = urllib3.Retry(
        total=settings.object_store_attempts - 1,
        backoff_factor=0.2,
        backoff_max=5,
        backoff_jitter=0.2,
        status_forcelist=(500, 502, 503, 504),
        raise_on_status=False,
    )
    read_seconds = settings.object_store_read_seconds
    timeout = urllib3.Timeout(connect=settings.object_store_connect_seconds, read=read_seconds)
    authorities = settings.object_store_ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where()
    manager = urllib3.PoolManager(
        maxsize=16, timeout=timeout, retries=retries, cert_reqs="CERT_REQUIRED", ca_certs=str(authorities)
    )
    manager.pool_classes_by_scheme = {
        "http": _pool_of(urllib3.HTTPConnectionPool, HTTPConnection, read_seconds),
        "https": _pool_of(urllib3.HTTPSConnectionPool, HTTPSConnection, read_seconds),
    }
    return manager


def _pool_of(pool: Any, connection: Any, send_seconds: float) -> Any:
    """urllib3 sends a body under the short connect timeout; a busy store may take longer to take a part in."""

    class PatientConnection(connection):  # type: ignore[misc]
        def send(self, data: Any) -> None:
            if self.sock is not None:
                self.sock.settimeout(send_seconds)
            super().send(data)

    class PatientPool(pool):  # type: ignore[misc]
        ConnectionCls = PatientConnection

    return PatientPool
