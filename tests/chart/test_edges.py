"""The edges that NetworkPolicies let through are those that the code dials, seen from both ends."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml

from tests.chart.render import VARIANTS, of_kind, rendered, template
from tests.chart.rules import Manifest, at, pod_specs
from tests.chart.schemas import load_all
from tests.chart.tools import ROOT

SERVICES = ("curation", "inference", "judging", "console", "operator")
# What in the source of a service means that it dials something.
DIALS = {
    "curation_address": "curation",
    "inference_address": "inference",
    "judging_address": "judging",
    "replica_url": "ray-serving",
}
COMPONENT = "app.kubernetes.io/component"
# One component or place dials another on a port.
Edge = tuple[str, str, int]


def dialled(service: str) -> set[str]:
    """Whom a service's source dials: which settings it reads, what it opens. Replicas are pods of their own."""
    found = set()
    for file in (ROOT / "services" / service).rglob("*.py"):
        if "replica" in file.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in DIALS:
                found.add(DIALS[node.attr])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found |= {("ObjectStore", "from_settings"): {"store"}, ("Database", "open"): {"database"}}.get(
                    (node.value.id, node.attr), set()
                )
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kubernetes":
                found.add("outside")
    return found


def component(selector: Any) -> str:
    labels = (selector or {}).get("matchLabels", {})
    return str(labels.get(COMPONENT, "any"))


def peer(value: Manifest) -> str:
    if "ipBlock" in value:
        return "outside"
    if "namespaceSelector" in value:
        return f"namespace {next(iter(value['namespaceSelector']['matchLabels'].values()))}"
    return component(value["podSelector"])


def edges(variant: str, direction: str) -> set[Edge]:
    """Edges as the policies of one direction allow them; port 0 is every port."""
    side = {"Ingress": "from", "Egress": "to"}[direction]
    found: set[Edge] = set()
    for policy in of_kind(rendered(variant), "NetworkPolicy"):
        own = component(at(policy, "spec.podSelector"))
        for rule in at(policy, f"spec.{direction.lower()}") or []:
            ports = [port["port"] for port in rule.get("ports", [])] or [0]
            for other in rule[side]:
                ends = (own, peer(other)) if direction == "Egress" else (peer(other), own)
                found |= {(*ends, port) for port in ports}
    return found


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("variant", ["default", "prod"])
def test_a_service_may_reach_what_its_code_dials_and_nothing_else(variant: str, service: str) -> None:
    allowed = {target for source, target, _ in edges(variant, "Egress") if source == service}
    external = {"store", "database"} if variant == "prod" else set()
    wanted = {"outside" if target in external else target for target in dialled(service)}
    assert allowed == wanted


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ends_of_every_inner_edge_are_open(variant: str) -> None:
    """An edge works when its source may leave and its target may be entered."""
    inside = {edge for edge in edges(variant, "Egress") if not edge[1].startswith(("outside", "namespace"))}
    strangers = ("any", "namespace", "outside")
    entered = {edge for edge in edges(variant, "Ingress") if not edge[0].startswith(strangers)}
    assert inside == entered


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_is_denied_first(variant: str) -> None:
    (deny,) = [p for p in of_kind(rendered(variant), "NetworkPolicy") if p["metadata"]["name"] == "lima-default-deny"]
    assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & deny["spec"].keys()
    chosen = deny["spec"]["podSelector"]["matchLabels"].items()
    for manifest in rendered(variant):
        for path, _, labels in pod_specs(manifest):
            own = labels or manifest["metadata"]["labels"]
            assert chosen <= own.items(), f"{manifest['metadata']['name']} {path} escapes the policy"


@pytest.mark.parametrize("ray", ["ray-serving", "ray-training"])
def test_rays_own_ports_are_open_to_ray_and_kuberay_alone(ray: str) -> None:
    others = {(source, port) for source, target, port in edges("default", "Ingress") if target == ray and source != ray}
    named = {("namespace kuberay-system", 8265), ("namespace kuberay-system", 8000)}
    assert others - named == ({("inference", 8000)} if ray == "ray-serving" else set())


def test_nobody_may_reach_the_internet_where_there_is_none() -> None:
    (block,) = {
        peer["ipBlock"]["cidr"]
        for policy in of_kind(rendered("airgap"), "NetworkPolicy")
        for rule in at(policy, "spec.egress") or []
        for peer in rule["to"]
        if "ipBlock" in peer
    }
    assert block == "10.0.0.0/8", "the API server's network alone"


@pytest.mark.parametrize(
    ("endpoint", "ports"),
    [
        ("https://s3.example.com", {443}),
        ("https://s3.example.com:8443", {443, 8443}),
        ("http://minio.storage.svc:9000", {443, 9000}),
        ("http://minio.storage.svc", {443, 80}),
    ],
)
def test_an_external_store_is_reached_on_the_port_that_its_address_names(endpoint: str, ports: set[int]) -> None:
    store = f"objectStore.mode=external,objectStore.existingSecret=s3,objectStore.endpoint={endpoint}"
    done = template("helm4", "--set", store, "--show-only", "templates/networkpolicies.yaml")
    assert done.returncode == 0, done.stderr
    (curation,) = [p for p in load_all(done.stdout) if p["metadata"]["name"] == "lima-curation-dials"]
    (outside,) = [rule for rule in at(curation, "spec.egress") if "ipBlock" in rule["to"][0]]
    assert {port["port"] for port in outside["ports"]} == ports


def test_the_replicas_entry_point_exists_as_the_chart_names_it() -> None:
    (service,) = of_kind(rendered("default"), "RayService")
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    module, _, function = application["import_path"].partition(":")
    source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    assert function in {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
    deployer = ast.parse((ROOT / "services/inference/replica/deployer.py").read_text())
    routes = [n.value.value for n in deployer.body if isinstance(n, ast.Assign) and n.targets[0].id == "ROUTE"]  # type: ignore
    assert routes == [application["route_prefix"]]


def test_rays_pods_keep_the_labels_that_kuberay_selects_them_by() -> None:
    (service,) = of_kind(rendered("default"), "RayService")
    for path, _, labels in pod_specs(service):
        assert "app.kubernetes.io/name" not in labels, path
