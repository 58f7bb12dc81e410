"""What `helm test` runs in the curation image: every service answers its health check, and curation a real call.

    python verify.py --grpc lima-curation:50051 --http http://lima-console:8080/healthz --curation lima-curation:50051

Exit code 0 when all answered, 1 with one line per failure otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lima.curation.v1 import curation_pb2, curation_pb2_grpc

PATIENCE_SECONDS = 120.0


def check_grpc(address: str) -> str:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(health_pb2.HealthCheckRequest(service="readiness"), timeout=5)
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    if status != "SERVING":
        raise RuntimeError(f"health is {status}")
    return status


def check_http(url: str) -> str:
    return str(httpx.get(url, timeout=5).raise_for_status().status_code)


def check_curation(address: str) -> str:
    metadata = (("authorization", f"Bearer {os.environ['LIMA_TOKEN']}"),)
    with grpc.insecure_channel(address) as channel:
        stub = curation_pb2_grpc.CurationServiceStub(channel)
        reply = stub.ListDatasets(curation_pb2.ListDatasetsRequest(page_size=5), timeout=10, metadata=metadata)
    return f"{len(reply.datasets)} datasets"


def passes(name: str, check: Callable[[str], str], target: str, patience: float) -> bool:
    """Try until it answers or patience ends: pods may still be starting after an install without --wait."""
    deadline = time.monotonic() + patience
    while True:
        try:
            print(f"ok   {name} {target}: {check(target)}", flush=True)
            return True
        except (grpc.RpcError, RuntimeError, httpx.HTTPError) as error:
            if time.monotonic() > deadline:
                print(f"FAIL {name} {target}: {error}", file=sys.stderr, flush=True)
                return False
            time.sleep(2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--http", action="append", default=[], metavar="URL")
    parser.add_argument("--curation", required=True, metavar="HOST:PORT")
    parser.add_argument("--patience", type=float, default=PATIENCE_SECONDS, help="seconds until a failure counts")
    arguments = parser.parse_args()
    checks = [("health", check_grpc, address) for address in arguments.grpc]
    checks += [("health", check_http, url) for url in arguments.http]
    checks += [("ListDatasets", check_curation, arguments.curation)]
    failed = sum(not passes(*check, arguments.patience) for check in checks)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
