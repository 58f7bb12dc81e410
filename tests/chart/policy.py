"""What a platform engineer would refuse in a review, though Kubernetes takes it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.chart.rules import PROBES, Manifest, at, containers, pod_specs

DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
SAFE_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def insecure(manifest: Manifest) -> list[str]:
    """Where a pod breaks the "restricted" level of the pod security standards, or our additions to it."""
    return [*_pods(manifest), *_containers(manifest)]


def _pods(manifest: Manifest) -> Iterator[str]:
    for path, spec, _ in pod_specs(manifest):
        security = spec.get("securityContext") or {}
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{path}: must run as a numeric user that is not root"
        if at(security, "seccompProfile.type") != "RuntimeDefault":
            yield f"{path}: seccompProfile must be RuntimeDefault"
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(forbidden):
                yield f"{path}.{forbidden}"
        for volume in spec.get("volumes") or []:
            if not volume.keys() - {"name"} <= SAFE_VOLUMES:
                yield f"{path}: volume {volume['name']} is none of {sorted(SAFE_VOLUMES)}"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{path}: volume {volume['name']} has no sizeLimit"
        if not spec.get("serviceAccountName"):
            yield f"{path}: has no service account of its own"


def _containers(manifest: Manifest) -> Iterator[str]:
    for path, container, _ in containers(manifest):
        security = container.get("securityContext") or {}
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{path}: may gain privileges"
        if at(security, "capabilities.drop") != ["ALL"] or at(security, "capabilities.add"):
            yield f"{path}: keeps capabilities"
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{path}: its root file system can be written"
        resources = container.get("resources") or {}
        for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if name not in (resources.get(kind) or {}):
                yield f"{path}: has no {kind}.{name}"
        for variable in container.get("env") or []:
            if re.search(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY", variable["name"]) and "value" in variable:
                yield f"{path}: {variable['name']} is written out"


def without_probes(manifest: Manifest) -> list[str]:
    """Long-running containers of ours that nothing watches. KubeRay adds probes to Ray's containers by itself."""
    if manifest["kind"] not in ("Deployment", "StatefulSet"):
        return []
    return [
        f"{path}: no {probe}"
        for path, container, _ in containers(manifest)
        # An init container ends by itself, and may have no probe.
        for probe in PROBES
        if probe not in container and ".initContainers[" not in path
    ]


def wildcards(manifest: Manifest) -> list[str]:
    """Rights that are broader than a list of verbs on a list of resources, or that reach over the namespace."""
    if manifest["kind"] in ("ClusterRole", "ClusterRoleBinding"):
        return [f"{manifest['kind']}: everything here is within one namespace"]
    rules = manifest.get("rules") or [] if manifest["kind"] == "Role" else []
    return [f"{rule}" for rule in rules if any("*" in rule.get(key, []) for key in ("apiGroups", "resources", "verbs"))]


def unpinned(manifest: Manifest) -> list[str]:
    """Images that are not named by what they contain."""
    return [f"{path}: {c['image']}" for path, c, _ in containers(manifest) if not DIGEST.fullmatch(c["image"])]
