"""skaffold.yaml against its published schema, and against what the repository holds."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from tests.chart.render import CHART, of_kind, rendered, template, values_of
from tests.chart.rules import at, containers, violations
from tests.chart.schemas import load_all, skaffold_validator
from tests.chart.test_edges import SERVICES
from tests.chart.tools import ROOT


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return loaded


def told(error: jsonschema.ValidationError) -> list[str]:
    """The schema is one big choice: what is wrong stands in the choice's branches."""
    return [f"{error.json_path}: {error.message[:200]}"] + [
        line for inner in error.context or [] for line in told(inner)
    ]


def test_it_satisfies_the_published_schema() -> None:
    assert [line for error in skaffold_validator().iter_errors(config()) for line in told(error)] == []


def test_the_schema_would_catch_a_mistake() -> None:
    assert list(skaffold_validator().iter_errors({**config(), "bild": {}}))


def test_its_version_is_the_schemas() -> None:
    assert config()["apiVersion"] == "skaffold/v4beta14"


def test_every_profile_is_there() -> None:
    assert {profile["name"] for profile in config()["profiles"]} == set(PROFILES)


PROFILES = ("dev", "gpu", "debug", "ci", "no-docker")


def activated(name: str) -> dict[str, Any]:
    """The configuration with one profile, as Skaffold makes it: its build in place of ours, then its patches."""
    (profile,) = [profile for profile in config()["profiles"] if profile["name"] == name]
    made = {key: value for key, value in config().items() if key != "profiles"}
    made |= {key: value for key, value in profile.items() if key not in ("name", "activation", "patches")}
    for patch in profile.get("patches", []):
        *parents, last = patch["path"].strip("/").split("/")
        node: Any = made
        for part in parents:
            node = node[int(part) if isinstance(node, list) else part]
        assert (last in node) == (patch["op"] != "add"), f"{name}: {patch['op']} {patch['path']}"
        if patch["op"] == "remove":
            del node[last]
        else:
            node[last] = patch["value"]
    return made


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_profile_makes_of_it_is_right_too(name: str) -> None:
    made = activated(name)
    assert [line for error in skaffold_validator().iter_errors(made) for line in told(error)] == []
    assert {artifact["image"] for artifact in made["build"]["artifacts"]} == {
        artifact["image"] for artifact in config()["build"]["artifacts"]
    }
    (release,) = made["deploy"]["helm"]["releases"]
    files = [flag for file in release["valuesFiles"] for flag in ("--values", str(ROOT / file))]
    settings = [f"--set={key}={str(value).lower()}" for key, value in release.get("setValues", {}).items()]
    done = template("helm4", *files, *settings)
    assert done.returncode == 0, done.stderr


def test_without_docker_every_image_has_a_command_and_code_is_synchronised_as_well() -> None:
    for ours, theirs in zip(config()["build"]["artifacts"], activated("no-docker")["build"]["artifacts"], strict=True):
        role = ours["image"].removeprefix("lima/")
        assert theirs["custom"]["buildCommand"] == f"python images/build.py --skaffold {role}"
        assert theirs.get("sync") == ours.get("sync")


def test_every_file_that_it_names_exists() -> None:
    (release,) = config()["deploy"]["helm"]["releases"]
    files = [release["chartPath"], *release["valuesFiles"]]
    files += [artifact["docker"]["dockerfile"] for artifact in config()["build"]["artifacts"]]
    files += [test["executionMode"]["kubernetesCluster"]["jobManifestPath"] for test in config()["verify"]]
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_image_of_the_chart_is_built_and_handed_to_it() -> None:
    built = {artifact["image"] for artifact in config()["build"]["artifacts"]}
    assert built == {f"lima/{role}" for role in (*SERVICES, "ray")}
    (release,) = config()["deploy"]["helm"]["releases"]
    chart_values = yaml.safe_load((CHART / "values.yaml").read_text())
    for key in release["setValueTemplates"]:
        node: Any = chart_values
        for part in key.split("."):
            node = node[part]


def test_verify_does_what_helm_test_does() -> None:
    (check,) = config()["verify"]
    (pod,) = [m for m in of_kind(rendered("kind"), "Pod") if m["metadata"]["name"] == "lima-verify"]
    ((_, container, _),) = containers(pod)
    assert container["command"] + container["args"] == check["container"]["command"] + check["container"]["args"]


def test_forwarded_ports_exist() -> None:
    services = {m["metadata"]["name"]: m for m in of_kind(rendered("kind"), "Service")}
    for forward in config()["portForward"]:
        assert forward["port"] in {port["port"] for port in at(services[forward["resourceName"]], "spec.ports")}


def test_the_dev_profiles_values_render_a_service_that_reloads() -> None:
    (dev,) = [profile for profile in config()["profiles"] if profile["name"] == "dev"]
    settings = [f"--set={key}={str(value).lower()}" for key, value in dev["patches"][0]["value"].items()]
    done = template("helm4", *values_of("kind"), *settings)
    assert done.returncode == 0, done.stderr
    manifests = tuple(load_all(done.stdout))
    assert [line for manifest in manifests for line in violations(manifest)] == []
    for deployment in of_kind(manifests, "Deployment"):
        pod = at(deployment, "spec.template.spec")
        assert pod["containers"][0]["command"] == ["python", "/reload/reload.py"]
        assert {"name": "code", "mountPath": "/app"} in pod["containers"][0]["volumeMounts"]
