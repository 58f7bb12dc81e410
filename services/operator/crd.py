"""The CustomResourceDefinition of FineTuneJob, generated from the types so that it cannot drift from them.

    python -m services.operator.crd            # write the files
    python -m services.operator.crd --check    # exit code 1 when a file differs

Kubernetes asks for a "structural" schema: references resolved, one type everywhere, no defaults that would fill in what
a preset decides. What types cannot say (fields that bind one another, immutability) is said by rules in CEL.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from services.operator.finetunejob import (
    GROUP,
    KIND,
    MAX_NAME,
    NAME_PATTERN,
    NAME_RULE,
    SECTIONS,
    VERSION,
    FineTuneJobSpec,
    FineTuneJobStatus,
    camel,
)
from training_jobs.spec import TrainingSpec

Schema = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "helm/lima/files/finetunejobs.yaml", ROOT / "k8s/crds/finetunejobs.yaml")
# Bounds on what the types leave open: the API server estimates the cost of a CEL rule from them.
MAX_TEXT = 1024
MAX_ITEMS = 64
# Fields of the training run that this platform decides, not a job.
NOT_OFFERED = {"compute": {"engine"}}

# (section, rule, message). The types of training_jobs.spec refuse the same; the rules do so at the door.
RULES: tuple[tuple[str, str, str], ...] = (
    (
        "recipe",
        "!has(self.finalLearningRate) || !has(self.learningRate) || self.finalLearningRate <= self.learningRate",
        "finalLearningRate must not exceed learningRate",
    ),
    (
        "compute",
        "!has(self.minWorkers) || self.minWorkers <= (has(self.workers) ? self.workers : 1)",
        "minWorkers must not exceed workers",
    ),
    (
        "compute",
        "!has(self.offloadParameters) || !self.offloadParameters || (has(self.zeroStage) && self.zeroStage == 3)",
        "offloadParameters needs zeroStage 3",
    ),
    (
        "compute",
        "((!has(self.hpzPartitionSize) || self.hpzPartitionSize == 1) && (!has(self.quantizedWeights) || "
        "!self.quantizedWeights)) || (has(self.zeroStage) && self.zeroStage == 3)",
        "hpzPartitionSize and quantizedWeights need zeroStage 3",
    ),
    (
        "checkpoints",
        "!has(self.keepFirst) || !has(self.keepLast) || self.keepFirst <= self.keepLast",
        "keepFirst must not exceed keepLast",
    ),
    (
        "checkpointSelection",
        "(has(self.policy) && self.policy == 'Epoch') == has(self.epoch)",
        "epoch goes with policy Epoch, and only with it",
    ),
    (
        "",
        "!has(self.workersPerPod) || (has(self.compute) && has(self.compute.workers) ? self.compute.workers : 1) "
        "% self.workersPerPod == 0",
        "workersPerPod must divide compute.workers",
    ),
)
COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Progress", "string", ".status.progress", 0),
    ("Epoch", "integer", ".status.epoch", 0),
    ("Loss", "string", ".status.loss", 0),
    ("Checkpoint", "string", ".status.lastCheckpoint", 0),
    ("Restarts", "integer", ".status.restarts", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Tokens/s", "string", ".status.tokensPerSecond", 1),
    ("Ray job", "string", ".status.rayJob", 1),
)


def definition() -> Schema:
    """The whole CustomResourceDefinition."""
    root = {
        "type": "object",
        "description": "A LIMA fine-tuning run: one base model, one dataset, one recipe.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec_schema(),
            "status": structural(FineTuneJobStatus.model_json_schema(by_alias=True)),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"size(self.metadata.name) <= {MAX_NAME} && self.metadata.name.matches('{NAME_PATTERN}')",
                "message": f"metadata.name {NAME_RULE}",
            }
        ],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
            for name, kind, path, priority in COLUMNS
        ],
    }
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": "finetunejobs", "singular": "finetunejob"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"finetunejobs.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": ["ftj"], "categories": ["all"]},
            "versions": [version],
        },
    }


def spec_schema() -> Schema:
    """The schema of `spec`: our own fields, and the training run's sections with every field optional."""
    spec = structural(FineTuneJobSpec.model_json_schema(by_alias=True))
    training = TrainingSpec.model_json_schema()
    for section in SECTIONS:
        schema = structural(training["properties"][section], training["$defs"])
        for name in NOT_OFFERED.get(section, ()):
            del schema["properties"][name]
        spec["properties"][section] = without_required(schema)
    for section, rule, message in RULES:
        target = spec["properties"][section] if section else spec
        target.setdefault("x-kubernetes-validations", []).append({"rule": rule, "message": message})
    spec["x-kubernetes-validations"] += [immutable(name) for name in spec["properties"] if name != "suspend"]
    return spec


def immutable(field: str) -> Schema:
    return {
        "rule": f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        "message": f"{field} cannot change after creation; only suspend can. Make a job by another name",
    }


def structural(schema: Schema, definitions: Schema | None = None) -> Schema:
    """A schema of pydantic's as Kubernetes wants it, camelCase, without defaults and titles."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return structural({**definitions[schema["$ref"].rsplit("/", 1)[-1]], **rest}, definitions)
    if "anyOf" in schema:
        (other,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
        # Where leaving a field out means null already, null is not offered: rules then need not think of it.
        return structural(other, definitions) | ({"nullable": True} if schema.get("default") is not None else {})
    result: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    for bound, name in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if name in schema:  # OpenAPI 3.0, unlike JSON schema, has a flag beside the bound.
            result |= {bound: schema[name], name: True}
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions)
        result.setdefault("maxItems", MAX_ITEMS)
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        result["properties"] = {camel(name): structural(value, definitions) for name, value in properties.items()}
        if schema.get("required"):
            result["required"] = [camel(name) for name in schema["required"]]
    elif schema.get("type") == "string" and "enum" not in result and "format" not in result:
        result.setdefault("maxLength", MAX_TEXT)
    return result


_KEPT = (
    "type", "description", "enum", "pattern", "format", "minLength", "maxLength", "minimum", "maximum", "minItems",
    "maxItems",
)  # fmt: skip


def without_required(schema: Schema) -> Schema:
    result = {key: value for key, value in schema.items() if key != "required"}
    if "properties" in schema:
        result["properties"] = {name: without_required(value) for name, value in schema["properties"].items()}
    return result


def text() -> str:
    header = (
        "# Generated by `python -m services.operator.crd` from training_jobs/spec.py: change the types, not this.\n"
    )
    return header + yaml.safe_dump(definition(), sort_keys=False, width=120)


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = [file for file in FILES if not file.exists() or file.read_text() != text()]
    for file in stale:
        if check:
            print(
                f"{file.relative_to(ROOT)} differs from the types: run python -m services.operator.crd", file=sys.stderr
            )
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text())
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
