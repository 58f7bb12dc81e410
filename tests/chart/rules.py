"""What an API server refuses and Kubernetes' published schemas let through.

`kubernetes-validate --strict` catches unknown fields and wrong types; a real API server checks enums, ranges, names,
quantities and references as well. `violations` is that second part, for the kinds this repository writes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

Manifest = dict[str, Any]
Rule = Callable[[Manifest], Iterator[str]]

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# Of RFC 1035: unlike other names it begins with a letter.
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?")
QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)")
SCALE: dict[str, Decimal] = {"": Decimal(1), "m": Decimal("0.001")} | {
    unit + suffix: Decimal(base ** (power + 1))
    for suffix, base in (("", 1000), ("i", 1024))
    for power, unit in enumerate("kMGTPE" if not suffix else "KMGTPE")
}
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = {"exec", "grpc", "httpGet", "tcpSocket"}
ENUMS = {
    ("Service", "spec.type"): {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
    ("Deployment", "spec.strategy.type"): {"Recreate", "RollingUpdate"},
    ("CronJob", "spec.concurrencyPolicy"): {"Allow", "Forbid", "Replace"},
    ("RayJob", "spec.submissionMode"): {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"},
    ("RayService", "spec.upgradeStrategy.type"): {"NewCluster", "NewClusterWithIncrementalUpgrade", "None"},
}
CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def violations(manifest: Manifest) -> list[str]:
    """Every broken rule, each as `path: what is wrong`. Empty when an API server would take it."""
    return [f"{manifest.get('kind')}: {found}" for rule in RULES for found in rule(manifest)]


def at(value: Any, path: str) -> Any:
    """The value under a dotted path, or None where any part is missing."""
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def quantity(text: object) -> Decimal | None:
    """The number a Kubernetes quantity stands for, or None when it is none."""
    match = QUANTITY.fullmatch(str(text))
    if not match:
        return None
    number, unit = match.groups()
    return Decimal(number) * (SCALE[unit] if unit in SCALE else Decimal(f"1{unit}"))


def pod_specs(value: Any, path: str = "") -> Iterator[tuple[str, Manifest, Manifest]]:
    """Every pod in a manifest as (path, spec, labels): of pods, of templates, of Ray's groups."""
    if isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield f"{path}.spec".lstrip("."), spec, at(value, "metadata.labels") or {}
        for key, inner in value.items():
            yield from pod_specs(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from pod_specs(inner, f"{path}[{index}]")


def containers(manifest: Manifest) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Every container as (path, container, its pod's spec)."""
    for path, spec, _ in pod_specs(manifest):
        for kind in ("initContainers", "containers"):
            for container in spec.get(kind) or []:
                yield f"{path}.{kind}[{container.get('name')}]", container, spec


def _names(manifest: Manifest) -> Iterator[str]:
    name = str(at(manifest, "metadata.name"))
    # RBAC names may hold colons; everything we write is a DNS subdomain, and Services are labels.
    form, length = (SERVICE_NAME, 63) if manifest.get("kind") == "Service" else (NAME, 253)
    if not form.fullmatch(name) or len(name) > length:
        yield f"metadata.name: {name!r} is not a DNS name"
    for place in ("labels", "annotations"):
        for key, value in (at(manifest, f"metadata.{place}") or {}).items():
            if not isinstance(value, str):
                yield f"metadata.{place}.{key}: {value!r} is not a string"
            elif place == "labels" and (len(value) > 63 or not LABEL.fullmatch(value)):
                yield f"metadata.labels.{key}: {value!r} is not a label value"


def _enums(manifest: Manifest) -> Iterator[str]:
    for (kind, path), allowed in ENUMS.items():
        value = at(manifest, path)
        if manifest.get("kind") == kind and value is not None and value not in allowed:
            yield f"{path}: {value!r} is not one of {sorted(allowed)}"


def _selectors(manifest: Manifest) -> Iterator[str]:
    wanted = at(manifest, "spec.selector.matchLabels")
    labels = at(manifest, "spec.template.metadata.labels")
    if manifest.get("kind") in ("Deployment", "StatefulSet", "DaemonSet") and wanted is not None:
        missing = {key: value for key, value in wanted.items() if (labels or {}).get(key) != value}
        if missing:
            yield f"spec.selector: {missing} is not among the template's labels"


def _container_basics(manifest: Manifest) -> Iterator[str]:
    for path, container, spec in containers(manifest):
        if not container.get("image"):
            yield f"{path}.image: missing"
        names = [variable.get("name") for variable in container.get("env") or []]
        for name in {name for name in names if names.count(name) > 1}:
            yield f"{path}.env: {name} is there twice"
        volumes = {volume.get("name") for volume in spec.get("volumes") or []}
        volumes |= {claim["metadata"]["name"] for claim in at(manifest, "spec.volumeClaimTemplates") or []}
        for mount in container.get("volumeMounts") or []:
            if mount.get("name") not in volumes:
                yield f"{path}.volumeMounts: no volume is named {mount.get('name')!r}"


def _ports(manifest: Manifest) -> Iterator[str]:
    for path, container, _ in containers(manifest):
        ports = container.get("ports") or []
        for port in ports:
            number, name = port.get("containerPort"), port.get("name", "p")
            if not isinstance(number, int) or not 0 < number < 65536:
                yield f"{path}.ports: {number} is not in 1..65535"
            if not PORT_NAME.fullmatch(name) or len(name) > 15:
                yield f"{path}.ports: {name!r} is not a port name"
    for port in at(manifest, "spec.ports") or [] if manifest.get("kind") == "Service" else []:
        if not 0 < port.get("port", 0) < 65536:
            yield f"spec.ports: {port.get('port')} is not in 1..65535"


def _probes(manifest: Manifest) -> Iterator[str]:
    for path, container, _ in containers(manifest):
        named = {port.get("name") for port in container.get("ports") or []}
        for probe in PROBES:
            if probe not in container:
                continue
            handlers = HANDLERS & container[probe].keys()
            if len(handlers) != 1:
                yield f"{path}.{probe}: needs exactly one handler, has {sorted(handlers)}"
            for handler in handlers:
                port = (container[probe][handler] or {}).get("port")
                if handler == "grpc" and not isinstance(port, int):
                    yield f"{path}.{probe}: a gRPC probe takes a number, not {port!r}"
                elif isinstance(port, str) and port not in named:
                    yield f"{path}.{probe}: no port of the container is named {port!r}"


def _resources(manifest: Manifest) -> Iterator[str]:
    for path, container, _ in containers(manifest):
        resources = container.get("resources") or {}
        for kind in ("requests", "limits"):
            for name, text in (resources.get(kind) or {}).items():
                amount = quantity(text)
                if amount is None or amount < 0:
                    yield f"{path}.resources.{kind}.{name}: {text!r} is not a quantity"
                elif "/" in name and amount != amount.to_integral_value():
                    yield f"{path}.resources.{kind}.{name}: {text!r} must be whole, as an extended resource"
        for name, text in (resources.get("requests") or {}).items():
            limit = quantity((resources.get("limits") or {}).get(name, "-"))
            asked = quantity(text)
            if limit is not None and asked is not None and (asked > limit or ("/" in name and asked != limit)):
                yield f"{path}.resources.requests.{name}: {text} against a limit of {limit}"


def _budgets(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    if manifest.get("kind") == "PodDisruptionBudget" and {"minAvailable", "maxUnavailable"} <= spec.keys():
        yield "spec: minAvailable and maxUnavailable exclude one another"
    if manifest.get("kind") == "HorizontalPodAutoscaler":
        low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
        if not 1 <= low <= high:
            yield f"spec: minReplicas {low} and maxReplicas {high}"


def _batch(manifest: Manifest) -> Iterator[str]:
    job = {"Job": manifest.get("spec"), "CronJob": at(manifest, "spec.jobTemplate.spec")}.get(str(manifest.get("kind")))
    if job is not None and at(job, "template.spec.restartPolicy") not in ("Never", "OnFailure"):
        yield "template.spec.restartPolicy: a Job needs Never or OnFailure"
    if manifest.get("kind") == "CronJob" and not _is_cron(str(at(manifest, "spec.schedule"))):
        yield f"spec.schedule: {at(manifest, 'spec.schedule')!r} is no cron line"


def _is_cron(line: str) -> bool:
    if re.fullmatch(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)", line):
        return True
    fields = line.split()
    return len(fields) == len(CRON_FIELDS) and all(map(_is_cron_field, fields, CRON_FIELDS))


def _is_cron_field(field: str, bounds: tuple[int, int]) -> bool:
    for part in field.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/[1-9]\d*)?", part)
        if not match:
            return False
        if any(not bounds[0] <= int(number) <= bounds[1] for number in match.groups() if number):
            return False
    return True


def _cidrs(manifest: Manifest) -> Iterator[str]:
    if manifest.get("kind") != "NetworkPolicy":
        return
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in at(manifest, f"spec.{direction}") or []:
            for peer in rule.get(side) or []:
                block = peer.get("ipBlock") or {}
                for cidr in [block["cidr"], *block.get("except", [])] if block else []:
                    try:
                        ipaddress.ip_network(cidr)
                    except ValueError as error:
                        yield f"spec.{direction}: {error}"


def _ray(manifest: Manifest) -> Iterator[str]:
    """What KubeRay's CRDs take and its operator refuses, or worse, forgets."""
    spec = manifest.get("spec") or {}
    name = str(at(manifest, "metadata.name"))
    if manifest.get("kind") in ("RayJob", "RayService") and (len(name) > 47 or not re.fullmatch(SERVICE_NAME, name)):
        yield f"metadata.name: {name!r} leaves no room for the Services that KubeRay names after it"
    if manifest.get("kind") != "RayJob":
        return
    if not spec.get("entrypoint") and spec.get("submissionMode") != "InteractiveMode":
        yield "spec.entrypoint: missing"
    if spec.get("backoffLimit", 0) < 0:
        yield f"spec.backoffLimit: {spec['backoffLimit']}"
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.ttlSecondsAfterFinished: needs shutdownAfterJobFinishes"
    if spec.get("deletionStrategy") and (spec.get("shutdownAfterJobFinishes") or spec.get("ttlSecondsAfterFinished")):
        yield "spec.deletionStrategy: excludes shutdownAfterJobFinishes and ttlSecondsAfterFinished"


RULES: tuple[Rule, ...] = (
    _names, _enums, _selectors, _container_basics, _ports, _probes, _resources, _budgets, _batch, _cidrs, _ray,
)  # fmt: skip
