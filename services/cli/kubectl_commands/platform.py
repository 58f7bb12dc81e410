"""The platform of a namespace as settings of a client: its keys from its Secrets, its services through kubectl.

with reach(Kubectl("lima", context="lab")) as settings: ...
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from services.shared.errors import FailedPrecondition, Unavailable
from services.shared.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.cli.kubectl_commands.cluster import Kubectl

PORTS = {"curation": 50051, "inference": 50052, "judging": 50053}
CURATION = "app.kubernetes.io/part-of=lima,app.kubernetes.io/component=curation"
WANTED = ("LIMA_TOKEN", "LIMA_OBJECT_STORE_")
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


@contextmanager
def reach(kubectl: Kubectl) -> Iterator[Settings]:
    """Settings with which this machine's clients reach the platform, for as long as the block lasts.

    Raises FailedPrecondition where the namespace holds no platform, Unavailable where a service does not answer.
    """
    release, environment = _curation(kubectl)
    told = {v["name"]: _value(kubectl, v) for v in environment if v["name"].startswith(WANTED)}
    with ExitStack() as forwards:
        for area, port in PORTS.items():
            told[f"LIMA_{area.upper()}_ADDRESS"] = forwards.enter_context(_forward(kubectl, f"{release}-{area}", port))
        scheme, _, host = told["LIMA_OBJECT_STORE_ENDPOINT"].partition("://")
        name, _, port_text = host.partition(":")
        if "." not in name:  # A Service of the namespace; any other name is the store's own.
            told["LIMA_OBJECT_STORE_ENDPOINT"] = (
                f"{scheme}://{forwards.enter_context(_forward(kubectl, name, int(port_text or 80)))}"
            )
        yield Settings(**{name.removeprefix(PREFIX).lower(): value for name, value in told.items()})


def _curation(kubectl: Kubectl) -> tuple[str, list[dict[str, Any]]]:
    """The platform's name, and the variables of its curation service, which knows token and store."""
    found = json.loads(kubectl("get", "deployments", f"--selector={CURATION}", "--output=json"))["items"]
    if len(found) != 1:
        raise FailedPrecondition(
            f"{len(found)} platforms in this namespace", remedy="name the one with the platform: --namespace lima"
        )
    (container,) = found[0]["spec"]["template"]["spec"]["containers"]
    return found[0]["metadata"]["name"].removesuffix("-curation"), container["env"]


def _value(kubectl: Kubectl, variable: dict[str, Any]) -> str:
    reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
    return _secret(kubectl, reference["name"], reference["key"]) if reference else str(variable["value"])


def _secret(kubectl: Kubectl, name: str, key: str) -> str:
    held = json.loads(kubectl("get", "secret", name, "--output=json"))["data"]
    return base64.b64decode(held[key]).decode()


@contextmanager
def _forward(kubectl: Kubectl, service: str, port: int) -> Iterator[str]:
    """The address on the loopback that kubectl forwards to a Service."""
    command = kubectl.command("port-forward", "--address=127.0.0.1", f"service/{service}", f":{port}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stderr
        match = FORWARDING.match(process.stdout.readline())
        if match is None:
            raise Unavailable(
                f"service/{service} cannot be reached: {process.stderr.read().strip()}",
                remedy="kubectl get pods shows what does not run",
            )
        yield f"127.0.0.1:{match[1]}"
    finally:
        process.terminate()
        process.wait()
