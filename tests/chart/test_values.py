"""The values' schema refuses what cannot work, naming the key."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart.render import CHART, HELMS, VARIANTS, template

BAD = [
    ("colour=red", "colour"),
    ("curation.replica=2", "replica"),
    ("curation.replicas=-1", "replicas"),
    ("curation.replicas=two", "replicas"),
    ("images.curation.tag=latest", "tag"),
    ("images.curation.digest=sha256:abc", "digest"),
    ("images.curation.repository=UPPER", "repository"),
    ("images.pullPolicy=Sometimes", "pullPolicy"),
    ("curation.resources.limits.memory=1GiB", "memory"),
    ("curation.resources.requests.memory=lots", "memory"),
    ("curation.resources.requests=null", "resources"),
    ("curation.scratch=ten", "scratch"),
    ("curation.autoscaling.minReplicas=0", "minReplicas"),
    ("curation.autoscaling.targetCPU=150", "targetCPU"),
    ("operator.replicas=2", "replicas"),
    ("operator.resyncSeconds=0", "resyncSeconds"),
    ("console.ingress.enabled=true", "host"),
    ("console.proxies[0]=everyone", "proxies"),
    ("replicas.upgrade=Rolling", "upgrade"),
    ("replicas.gpusPerReplica=0.5", "gpusPerReplica"),
    ("replicas.workers.max=0", "max"),
    ("training.gang=slurm", "gang"),
    ("training.gpuMemory=80GB", "gpuMemory"),
    ("training.gpuPool.runtimeClass=nvidia", "runtimeClass"),
    ("objectStore.mode=gcs", "mode"),
    ("objectStore.endpoint=https://s3.example.com", "endpoint"),
    ("objectStore.mode=external", "endpoint"),
    ("objectStore.bucket=Upper_Case", "bucket"),
    ("objectStore.persistence.whenDeleted=Maybe", "whenDeleted"),
    ("database.mode=mysql", "mode"),
    ("database.mode=external", "existingSecret"),
    ("networkPolicy.apiServer.cidrs[0]=10.0.0.0/33", "cidrs"),
    ("networkPolicy.apiServer.ports[0]=70000", "ports"),
    ("logging.level=loud", "level"),
    ("crds.install=maybe", "install"),
    ("auth.existingSecret=Not_A_Name", "existingSecret"),
]


@pytest.mark.parametrize(("setting", "key"), BAD)
def test_a_bad_value_is_refused_by_name(setting: str, key: str) -> None:
    done = template("helm4", "--set", setting)
    assert done.returncode != 0, f"{setting} was taken"
    assert key in done.stderr


def test_helm_3_refuses_as_well() -> None:
    assert template("helm3", "--set", "colour=red").returncode != 0


def test_every_bad_thing_is_named_at_once() -> None:
    done = template("helm4", "--set", "colour=red,logging.level=loud,curation.replicas=-1")
    for key in ("colour", "level", "replicas"):
        assert key in done.stderr


def keys(value: Any, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {path} | {inner for key, child in value.items() for inner in keys(child, f"{path}.{key}")}


def test_the_schema_describes_every_key_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())

    def walk(node: dict[str, Any], value: Any, path: str) -> None:
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        if "properties" not in node or not isinstance(value, dict):
            return
        assert node.get("additionalProperties") is False, path
        assert value.keys() <= node["properties"].keys(), path
        for key, inner in value.items():
            walk(node["properties"][key], inner, f"{path}.{key}")
        absent = node["properties"].keys() - value.keys()
        # "global" is Helm's own; the rest are maps that a user may fill.
        assert absent <= {"global", "enabled", "limits", "requests", *_OPTIONAL}, f"{path}: {absent}"

    walk(schema, values, "values")


_OPTIONAL = {
    "affinity", "key", "nodeAffinity", "nodeSelector", "operator", "podAffinity", "podAntiAffinity",
    "priorityClassName", "runtimeClassName", "tolerations",
}  # fmt: skip


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "default"])
def test_a_variant_changes_keys_that_exist(variant: str) -> None:
    known = keys(yaml.safe_load((CHART / "values.yaml").read_text()))
    changed = keys(yaml.safe_load((CHART / f"values-{variant}.yaml").read_text()))
    open_maps = ("nodeSelector", "tolerations", "podAnnotations")
    assert {key for key in changed - known if not any(f".{name}" in key for name in open_maps)} == set()


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize("mode", ["minio", "seaweedfs", "external"])
def test_every_store_renders(version: str, mode: str) -> None:
    more = ["--set", "objectStore.endpoint=https://s3.example.com,objectStore.existingSecret=s3"]
    done = template(version, "--set", f"objectStore.mode={mode}", *(more if mode == "external" else []))
    assert done.returncode == 0, done.stderr
    assert ("kind: StatefulSet\nmetadata:\n  name: lima-store" in done.stdout) == (mode != "external")
