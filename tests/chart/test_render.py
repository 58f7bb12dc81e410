"""The chart renders in every variant under both Helms, into manifests that Kubernetes and KubeRay accept."""

from __future__ import annotations

import pytest

from services.operator.config import OperatorConfig
from tests.chart.render import (
    CHART,
    HELMS,
    VARIANTS,
    helm,
    manifests_of_repository,
    of_kind,
    rendered,
    template,
    values_of,
)
from tests.chart.rules import at, violations
from tests.chart.schemas import MINORS, load_all, problems
from tests.chart.tools import ROOT


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_lint_is_strict_and_clean(version: str, variant: str) -> None:
    done = helm(version, "lint", "--strict", str(CHART), *values_of(variant))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_helms_render_the_same_objects(variant: str) -> None:
    names = [sorted((m["kind"], m["metadata"]["name"]) for m in rendered(variant, version)) for version in HELMS]
    assert names[0] == names[1]
    assert len(names[0]) == len(set(names[0])), "an object is rendered twice"


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_manifest_satisfies_the_schemas(variant: str, minor: str) -> None:
    assert [line for manifest in rendered(variant) for line in problems(manifest, minor)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_manifest_keeps_our_rules(variant: str) -> None:
    assert [line for manifest in rendered(variant) for line in violations(manifest)] == []


@pytest.mark.parametrize("minor", MINORS)
def test_the_manifests_under_k8s_are_right(minor: str) -> None:
    found = {
        str(file.relative_to(ROOT)): problems(manifest, minor) + violations(manifest)
        for file, manifest in manifests_of_repository()
        if manifest["apiVersion"].partition("/")[0] != "kueue.x-k8s.io"
    }
    assert found
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_each_pod_of_a_queued_job_has_a_flavour_whose_nodes_it_asks_for() -> None:
    """Kueue admits a pod to a flavour alone whose node labels its own selector does not contradict."""
    kinds = {
        (manifest["kind"], manifest["metadata"]["name"]): manifest["spec"]
        for file, manifest in manifests_of_repository()
        if file.name == "kueue.yaml"
    }
    (group,) = kinds["ClusterQueue", "lima"]["resourceGroups"]
    flavours = {flavour["name"]: flavour["resources"] for flavour in group["flavors"]}
    (config,) = [m for m in of_kind(rendered("gpu"), "ConfigMap") if m["metadata"]["name"] == "lima-operator"]
    facts = OperatorConfig.model_validate_json(config["data"]["operator.json"])
    assert (facts.gang, facts.queue) == ("kueue", "lima")
    for pool, needs_gpu in ((facts.head.pool, False), (facts.worker.pool, True)):
        fitting = [
            name
            for name, resources in flavours.items()
            if kinds["ResourceFlavor", name]["nodeLabels"].items() <= pool.node_selector.items()
            and (not needs_gpu or {r["name"]: r["nominalQuota"] for r in resources}["nvidia.com/gpu"])
        ]
        assert fitting, pool.node_selector


@pytest.mark.parametrize("version", HELMS)
def test_without_kuberay_the_chart_installs_and_says_what_is_missing(version: str) -> None:
    done = template(version, kuberay=False)
    assert done.returncode == 0
    assert "kind: RayService" not in done.stdout


def test_notes_give_three_commands_to_copy_and_say_that_kuberay_is_missing() -> None:
    # Helm 3 asks a cluster even for a client's dry run; Helm 4 does not.
    notes = helm("helm4", "install", "lima", str(CHART), "--dry-run=client").stdout.partition("NOTES:")[2]
    assert "no KubeRay" in notes
    for command in (
        "  helm test lima",
        "  kubectl -n default port-forward",
        "  kubectl -n default apply -f k8s/samples/",
    ):
        assert command in notes


@pytest.mark.parametrize("version", HELMS)
def test_the_longest_release_name_makes_names_that_kubernetes_and_kuberay_take(version: str) -> None:
    capability = ["--api-versions", "ray.io/v1"]
    done = helm(version, "template", "l" * 52 + "g", str(CHART), *capability, *values_of("prod"))
    assert done.returncode == 0, done.stderr
    manifests = load_all(done.stdout)
    assert [line for manifest in manifests for line in violations(manifest)] == []
    assert max(len(m["metadata"]["name"]) for m in manifests if m["kind"] != "CustomResourceDefinition") <= 63


@pytest.mark.parametrize("release", ["7b", "lima.lab"])
def test_a_release_name_that_no_service_can_begin_with_is_refused(release: str) -> None:
    done = helm("helm4", "template", release, str(CHART))
    assert done.returncode != 0
    assert "set fullnameOverride" in done.stderr
    assert helm("helm4", "template", release, str(CHART), "--set", "fullnameOverride=lab").returncode == 0


def test_no_replicas_beside_an_autoscaler() -> None:
    scaled = {at(h, "spec.scaleTargetRef.name") for h in of_kind(rendered("prod"), "HorizontalPodAutoscaler")}
    assert scaled == {"lima-inference", "lima-console"}
    for deployment in of_kind(rendered("prod"), "Deployment"):
        assert ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] not in scaled)


def test_images_txt_lists_every_image_of_the_airgapped_install() -> None:
    listed = {line for line in (CHART / "images.txt").read_text().splitlines() if line and not line.startswith("#")}
    every = set()
    for variant in ("default", "kind", "gpu"):
        every |= {image for manifest in rendered(variant) for image in images(manifest)}
    assert listed == every


def images(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["image"]} if isinstance(value.get("image"), str) else set()
        return own.union(*(images(inner) for inner in value.values()))
    return set().union(*(images(inner) for inner in value)) if isinstance(value, list) else set()


def test_the_service_monitor_selects_the_services_that_have_metrics() -> None:
    (monitor,) = of_kind(rendered("prod"), "ServiceMonitor")
    wanted = at(monitor, "spec.selector.matchLabels")
    chosen = [s for s in of_kind(rendered("prod"), "Service") if wanted.items() <= s["metadata"]["labels"].items()]
    assert {s["metadata"]["labels"]["app.kubernetes.io/component"] for s in chosen} == {
        "curation", "inference", "judging", "operator",
    }  # fmt: skip
    port = at(monitor, "spec.endpoints")[0]["port"]
    assert all(port in {p["name"] for p in s["spec"]["ports"]} for s in chosen)


def test_the_crd_is_kept_or_not_as_told() -> None:
    (kept,) = of_kind(rendered("default"), "CustomResourceDefinition")
    (dropped,) = of_kind(rendered("kind"), "CustomResourceDefinition")
    assert at(kept, "metadata.annotations") == {"helm.sh/resource-policy": "keep"}
    assert at(dropped, "metadata.annotations") is None
    assert "CustomResourceDefinition" not in template("helm4", "--set", "crds.install=false").stdout
