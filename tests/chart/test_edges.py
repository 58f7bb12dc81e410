"""The edges that NetworkPolicies let through are those that the code dials, seen from both ends."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.render import VARIANTS, of_kind, rendered, template
from tests.chart.rules import Manifest, at, containers, pod_specs
from tests.chart.schemas import load_all
from tests.chart.tools import ROOT

SERVICES = ("curation", "inference", "judging", "console", "operator")
# Every component that runs our code, and the module that its pod starts.
ENTRY = {
    **{service: f"services.{service}.__main__" for service in SERVICES},
    **{f"migrate-{service}": "services.shared.migrate" for service in SERVICES if service != "operator"},
    "bucket": "services.shared.bucket",
    "ray-serving": "services.inference.replica.app",
    "ray-training": "training_jobs.__main__",
}
# What in the source means that it dials something: settings that are read, and what is opened.
ADDRESSES = {
    "curation_address": "curation",
    "inference_address": "inference",
    "judging_address": "judging",
    "replica_url": "ray-serving",
}
OPENED = {("ObjectStore", "from_settings"): "store", ("Database", "open"): "database"}
COMPONENT = "app.kubernetes.io/component"
# One component or place dials another on a port.
Edge = tuple[str, str, int]


def dialled(entry: str) -> set[str]:
    """Whom a program dials, by the source of every module of ours that its entry point reaches."""
    nodes = [node for tree in reached(entry) for node in ast.walk(tree)]
    named = [node for node in nodes if isinstance(node, ast.Attribute)]
    found = {ADDRESSES[node.attr] for node in named if node.attr in ADDRESSES}
    owned = {(node.value.id, node.attr) for node in named if isinstance(node.value, ast.Name)}
    found |= {place for call, place in OPENED.items() if call in owned}
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return found | {"outside" for module in modules if module.partition(".")[0] == "kubernetes"}


@functools.cache
def reached(entry: str) -> tuple[ast.Module, ...]:
    seen: dict[str, ast.Module] = {}
    wanted = [entry]
    while wanted:
        module = wanted.pop()
        path = ROOT / module.replace(".", "/")
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        if module in seen or module.partition(".")[0] not in ("services", "training_jobs") or not file.exists():
            continue
        seen[module] = ast.parse(file.read_text())
        wanted += imported(seen[module])
    return tuple(seen.values())


def imported(tree: ast.Module) -> Iterator[str]:
    """Modules that a source names, within functions too; a name taken from a package may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


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


@pytest.mark.parametrize("component", sorted(ENTRY))
@pytest.mark.parametrize("variant", ["default", "prod"])
def test_a_component_may_reach_what_its_code_dials_and_nothing_else(variant: str, component: str) -> None:
    # Ray's pods reach one another as well, on ports that Ray chooses.
    allowed = {target for source, target, _ in edges(variant, "Egress") if source == component != target}
    external = {"store", "database"} if variant == "prod" else set()
    wanted = {"outside" if target in external else target for target in dialled(ENTRY[component])}
    assert allowed == wanted
    assert wanted, "a program that dials nobody is not one of ours"


def test_every_pod_that_may_dial_is_one_whose_code_was_read() -> None:
    sources = {source for source, _, _ in edges("default", "Egress")} - {"any"}
    assert sources == {*ENTRY, "verify"}


def test_the_check_reaches_what_its_arguments_name_and_nothing_else() -> None:
    (pod,) = [m for m in of_kind(rendered("default"), "Pod") if m["metadata"]["name"] == "lima-verify"]
    ((_, container, _),) = containers(pod)
    named = {(host, int(port)) for host, port in re.findall(r"lima-([a-z]+):(\d+)", " ".join(container["args"]))}
    assert {(target, port) for source, target, port in edges("default", "Egress") if source == "verify"} == named


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
