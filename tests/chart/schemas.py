"""The published schemas that rendered manifests must satisfy: Kubernetes', KubeRay's and Skaffold's."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.chart.rules import Manifest
from tests.chart.tools import ROOT

SHARED = Path(os.environ.get("LIMA_SHARED_SCHEMAS", ROOT.parent / "shared" / "schemas"))
# The oldest minor that Chart.yaml's kubeVersion admits, and the newest whose schemas we have.
MINORS = ("1.30", "1.37")
OUR_CRD = ROOT / "helm" / "lima" / "files" / "finetunejobs.yaml"
# The library reads and parses two files for every manifest, one of them the megabyte of all definitions.
_library: Any = kubernetes_validate
_library.utils.schema_contents = functools.cache(_library.utils.schema_contents)
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_all(text: str) -> list[Manifest]:
    return [document for document in yaml.load_all(text, Loader=Loader) if document]


def shared(name: str) -> Path:
    """A file of the folder of foreign schemas, which is not part of the repository; skips where it is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is missing: set LIMA_SHARED_SCHEMAS to the folder with {name}")
    return path


def problems(manifest: Manifest, minor: str) -> list[str]:
    """What the schema of the manifest's kind says against it, strictly; an unknown kind is a problem too."""
    return _problems(json.dumps(manifest), minor)


@functools.cache
def _problems(text: str, minor: str) -> list[str]:
    # Most manifests of two variants are the same.
    manifest = json.loads(text)
    where = f"{manifest.get('kind')}/{manifest.get('metadata', {}).get('name')}"
    group = str(manifest.get("apiVersion")).partition("/")[0]
    if group in ("ray.io", "lima.dev"):
        return [f"{where}: {error.json_path}: {error.message[:300]}" for error in _crd_errors(manifest)]
    if group == "monitoring.coreos.com":
        return []  # Prometheus' CRDs are not to be had here: test_render checks that ServiceMonitor by hand.
    if manifest.get("kind") == "CustomResourceDefinition":
        return []  # The published file leaves out recursion; tests/unit/operator/test_crd.py checks ours.
    try:
        kubernetes_validate.validate(manifest, minor, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{where}: {manifest.get('apiVersion')} is not an API of Kubernetes {minor}"]
    except kubernetes_validate.ValidationError as error:
        return [f"{where}: {error}"]
    return []


def _crd_errors(manifest: Manifest) -> list[jsonschema.ValidationError]:
    return list(crd_validator(manifest["kind"]).iter_errors(manifest))


@functools.cache
def crd_validator(kind: str) -> jsonschema.Draft202012Validator:
    """A validator that refuses unknown fields, as an API server with strict field validation does."""
    path = OUR_CRD if kind == "FineTuneJob" else shared(f"kuberay-1.7/ray.io_{kind.lower()}s.yaml")
    crd = yaml.load(path.read_text(), Loader=Loader)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return jsonschema.Draft202012Validator(closed(schema), format_checker=None)


def closed(schema: Any) -> Any:
    """A CRD's OpenAPI schema as JSON schema: every object closed, int-or-string relaxed, metadata open."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    # A property may be named like a keyword: a map of properties is no schema, and is made below.
    kept = {key: value for key, value in schema.items() if key not in ("default", "format", "nullable", "properties")}
    result = {key: closed(value) for key, value in kept.items()}
    if isinstance(schema.get("properties"), dict):
        result["properties"] = {name: closed(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        # OpenAPI 3.0 has a flag beside the bound, JSON schema the bound itself.
        if schema.get(exclusive) is True:
            result[exclusive] = result.pop(bound)
    return {"anyOf": [result, {"type": "null"}]} if schema.get("nullable") is True else result


@functools.cache
def skaffold_validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(shared("skaffold-v4beta14.json").read_text()))
