"""Policy over everything that the chart renders and the repository holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.console.config import ConsoleSettings
from services.inference.replica.settings import ReplicaSettings
from services.inference.settings import InferenceSettings
from services.operator.config import OperatorConfig, OperatorSettings
from tests.chart.policy import insecure, unpinned, wildcards, without_probes
from tests.chart.render import VARIANTS, manifests_of_repository, of_kind, rendered, template, values_of
from tests.chart.rules import Manifest, at, containers, pod_specs
from tests.chart.schemas import load_all

OUR_IMAGES = ("curation", "inference", "judging", "console", "operator", "ray")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pod_is_restricted(variant: str) -> None:
    pods = [spec for manifest in rendered(variant) for _, spec, _ in pod_specs(manifest)]
    assert len(pods) > 8
    assert [line for manifest in rendered(variant) for line in insecure(manifest)] == []


def test_the_pods_of_the_repositorys_manifests_are_restricted() -> None:
    found = {str(file): insecure(manifest) for file, manifest in manifests_of_repository()}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_long_running_container_is_watched(variant: str) -> None:
    assert [line for manifest in rendered(variant) for line in without_probes(manifest)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_right_is_a_wildcard_or_over_the_whole_cluster(variant: str) -> None:
    assert [line for manifest in rendered(variant) for line in wildcards(manifest)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_pod_alone_may_speak_to_the_cluster(variant: str) -> None:
    mounted = [
        manifest["metadata"]["name"]
        for manifest in rendered(variant)
        for _, spec, _ in pod_specs(manifest)
        if spec.get("automountServiceAccountToken") is not False
    ]
    assert mounted == ["lima-operator"]


def test_images_are_pinned_once_their_digests_are_known(tmp_path: Path) -> None:
    pins = {name: {"digest": f"sha256:{index:064x}"} for index, name in enumerate(OUR_IMAGES)}
    file = tmp_path / "image-digests.yaml"
    file.write_text(json.dumps({"images": {"requireDigests": True, **pins}}))
    done = template("helm4", *values_of("prod"), "--values", str(file))
    assert done.returncode == 0, done.stderr
    manifests = load_all(done.stdout)
    assert [line for manifest in manifests for line in unpinned(manifest)] == []
    (config,) = [m for m in of_kind(tuple(manifests), "ConfigMap") if m["metadata"]["name"] == "lima-operator"]
    assert "@sha256:" in json.loads(config["data"]["operator.json"])["image"]


def test_an_image_without_a_digest_is_refused_where_digests_are_asked_for() -> None:
    done = template("helm4", "--set", "images.requireDigests=true")
    assert done.returncode != 0
    assert "digest: empty while images.requireDigests is true" in done.stderr


def test_no_image_is_called_latest() -> None:
    tags = {c["image"].rpartition(":")[2] for m in rendered("default") for _, c, _ in containers(m)}
    assert "latest" not in tags
    assert "" not in tags


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_secret_that_is_referred_to_is_made_here_or_asked_for_by_name(variant: str) -> None:
    made = {secret["metadata"]["name"]: set(secret["stringData"]) for secret in of_kind(rendered(variant), "Secret")}
    asked = {"lima-auth", "lima-object-store", "lima-database"} if variant == "prod" else set()
    for manifest in rendered(variant):
        for path, container, _ in containers(manifest):
            for variable in container.get("env") or []:
                reference = at(variable, "valueFrom.secretKeyRef")
                if reference and reference["name"] not in asked:
                    assert reference["key"] in made[reference["name"]], path


def test_secrets_are_generated_anew_for_every_install() -> None:
    tokens = {
        secret["stringData"]["token"]
        for _ in range(2)
        for secret in load_all(template("helm4").stdout)
        if secret["kind"] == "Secret" and "token" in secret["stringData"]
    }
    assert len(tokens) == 2


def test_the_operators_config_is_read_by_the_operator() -> None:
    for variant in VARIANTS:
        (config,) = [m for m in of_kind(rendered(variant), "ConfigMap") if m["metadata"]["name"] == "lima-operator"]
        read = OperatorConfig.model_validate_json(config["data"]["operator.json"])
        assert read.labels["app.kubernetes.io/component"] == "ray-training"
        assert {"LIMA_OBJECT_STORE_ENDPOINT", "LIMA_OBJECT_STORE_SECRET_KEY"} <= {v["name"] for v in read.environment}


def test_the_operators_lease_goes_with_the_release_and_no_other_may_be_written() -> None:
    (lease,) = of_kind(rendered("default"), "Lease")
    (config,) = [m for m in of_kind(rendered("default"), "ConfigMap") if m["metadata"]["name"] == "lima-operator"]
    assert OperatorConfig.model_validate_json(config["data"]["operator.json"]).lease_name == lease["metadata"]["name"]
    (role,) = of_kind(rendered("default"), "Role")
    rules = [rule for rule in role["rules"] if rule["resources"] == ["leases"]]
    named = {verb: rule.get("resourceNames") for rule in rules for verb in rule["verbs"]}
    assert named == {"get": ["lima-operator"], "update": ["lima-operator"], "create": None}


def test_environment_variables_are_settings_that_the_code_reads() -> None:
    settings = (ConsoleSettings, InferenceSettings, OperatorSettings, ReplicaSettings)
    known = {f"LIMA_{name.upper()}" for kind in settings for name in kind.model_fields}
    for manifest in rendered("prod"):
        for path, container, _ in containers(manifest):
            given = {v["name"] for v in container.get("env") or [] if v["name"].startswith("LIMA_")}
            assert given <= known, f"{path}: {given - known}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_priorities_that_are_made_are_used_and_no_others(variant: str) -> None:
    made = {found["metadata"]["name"] for found in of_kind(rendered(variant), "PriorityClass")}
    used = {spec.get("priorityClassName") for manifest in rendered(variant) for _, spec, _ in pod_specs(manifest)}
    (config,) = [m for m in of_kind(rendered(variant), "ConfigMap") if m["metadata"]["name"] == "lima-operator"]
    facts = OperatorConfig.model_validate_json(config["data"]["operator.json"])
    used |= {facts.head.pool.priority_class_name, facts.worker.pool.priority_class_name}
    assert used - {None, ""} == made
    assert bool(made) == (variant == "prod")


def console_variable(name: str, *arguments: str) -> str | None:
    done = template("helm4", *arguments)
    assert done.returncode == 0, done.stderr
    (console,) = [
        m for m in of_kind(tuple(load_all(done.stdout)), "Deployment") if m["metadata"]["name"] == "lima-console"
    ]
    (container,) = at(console, "spec.template.spec.containers")
    return next((v["value"] for v in container["env"] if v["name"] == name), None)


def test_a_visitor_is_told_by_the_proxies_that_stand_in_front() -> None:
    ingress = ("--set", "console.ingress.enabled=true,console.ingress.host=lima.example.com")
    own = ("--set", "console.proxies={10.1.0.0/16,fd00::/8}")
    assert console_variable("LIMA_CONSOLE_PROXIES") is None
    assert console_variable("LIMA_CONSOLE_PROXIES", *own) == "10.1.0.0/16,fd00::/8"
    assert "10.0.0.0/8" in str(console_variable("LIMA_CONSOLE_PROXIES", *ingress))
    assert console_variable("LIMA_CONSOLE_PROXIES", *ingress, *own) == "10.1.0.0/16,fd00::/8"


def service_of(manifests: tuple[Manifest, ...], name: str) -> Manifest:
    (service,) = [m for m in of_kind(manifests, "Service") if m["metadata"]["name"] == name]
    return service


def test_addresses_point_at_services_and_ports_that_exist() -> None:
    manifests = rendered("default")
    checked = 0
    for manifest in manifests:
        for _, container, _ in containers(manifest):
            for variable in container.get("env") or []:
                if variable["name"].endswith("_ADDRESS"):
                    host, _, port = variable["value"].rpartition(":")
                    assert int(port) in {p["port"] for p in service_of(manifests, host)["spec"]["ports"]}
                    checked += 1
    assert checked >= 4
