"""Rendering the chart with real Helm, once per variant and version."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest

from tests.chart.rules import Manifest
from tests.chart.schemas import load_all
from tests.chart.tools import ROOT, ToolsMissing, binary

CHART = ROOT / "helm" / "lima"
VARIANTS = ("default", "kind", "gpu", "prod", "airgap")
HELMS = ("helm3", "helm4")


def helm(version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm; skips the test where the binary cannot be had."""
    try:
        program = binary(version)
    except ToolsMissing as missing:
        pytest.skip(str(missing))
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=300)


def template(version: str, *arguments: str, kuberay: bool = True) -> subprocess.CompletedProcess[str]:
    capability = ["--api-versions", "ray.io/v1"] if kuberay else []
    return helm(version, "template", "lima", str(CHART), "--namespace", "lima", *capability, *arguments)


def values_of(variant: str) -> list[str]:
    file = CHART / f"values-{variant}.yaml"
    return ["--values", str(file)] if variant != "default" else []


@functools.cache
def rendered(variant: str, version: str = "helm4") -> tuple[Manifest, ...]:
    done = template(version, *values_of(variant))
    assert done.returncode == 0, done.stderr
    return tuple(load_all(done.stdout))


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def manifests_of_repository() -> list[tuple[Path, Manifest]]:
    """Every manifest under k8s/, as (file, manifest)."""
    files = sorted((ROOT / "k8s").rglob("*.yaml"))
    return [(file, manifest) for file in files for manifest in load_all(file.read_text())]
