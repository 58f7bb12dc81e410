"""FineTuneJobs from flags, as plain manifests: the API server and the operator's own types judge them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import yaml

from services.cli.output import note
from services.shared.errors import FailedPrecondition, InvalidInput, LimaError

if TYPE_CHECKING:
    from pathlib import Path

    from services.cli.kubectl_commands.cluster import Kubectl

API_VERSION = "lima.dev/v1alpha1"
JOB_LABEL = "lima.dev/finetunejob"
WAIT_SECONDS = 2.0
SUBMITTER = "ray-job-submitter"
OPERATOR_LABEL = "app.kubernetes.io/part-of=lima,app.kubernetes.io/component=operator"

Manifest = dict[str, Any]


def job_manifest(
    name: str, model: str, dataset: str, settings: dict[str, Any], overrides: list[str], namespace: str | None = None
) -> Manifest:
    """The manifest of a FineTuneJob. `dataset` is NAME@DIGEST; overrides read like recipe.epochs=3.

    A namespace that was asked for stands in the manifest, so that it holds where the manifest is piped to.

    Raises:
        InvalidInput: a flag that cannot be read.
    """
    dataset_name, at, digest = dataset.partition("@")
    if not at or not dataset_name or not digest:
        raise InvalidInput("--dataset", dataset, "must be NAME@DIGEST, as `lima datasets list` prints it")
    spec: Manifest = {"baseModel": model, "dataset": {"name": dataset_name, "digest": digest}}
    for path, value in settings.items():
        if value not in (None, False, ""):
            _set(spec, path, value)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not all(path.split(".")):
            raise InvalidInput("--set", override, "must read like recipe.epochs=3")
        try:
            _set(spec, path, yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise InvalidInput("--set", override, f"its value is not YAML: {error}") from None
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": {"name": name, **place}, "spec": spec}


def read_manifest(file: Path | None) -> Manifest:
    """A manifest from a file, or from standard input. What is in it, the operator's types judge later.

    Raises:
        InvalidInput: it cannot be read, or is not one YAML or JSON object.
    """
    place = str(file) if file else "standard input"
    try:
        manifest = yaml.safe_load(file.read_text() if file else sys.stdin.read())
    except OSError as error:
        raise InvalidInput("--filename", place, f"cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput("--filename", place, f"must be one YAML or JSON document: {error}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("metadata") or {}, dict):
        raise InvalidInput("--filename", place, f"must be a {API_VERSION} FineTuneJob")
    return manifest


def operator_config(kubectl: Kubectl) -> str:
    """The facts of a cluster that its operator was told: operator.json of the namespace's platform.

    Raises:
        FailedPrecondition: the namespace holds no platform, or several.
    """
    found = json.loads(kubectl("get", "configmaps", f"--selector={OPERATOR_LABEL}", "--output=json"))["items"]
    if len(found) != 1:
        raise FailedPrecondition(
            f"{len(found)} operators in this namespace",
            remedy="name the platform's namespace with -n, or its operator.json with --config",
        )
    config: str = found[0]["data"]["operator.json"]
    return config


def check(manifest: Manifest) -> None:
    """Let the operator's own types judge a manifest, in a process of theirs: no cluster is asked.

    Raises:
        InvalidInput: with every field that is wrong.
    """
    _operator(manifest, "--check")


def render(manifest: Manifest, config: str, bucket: str) -> str:
    """The plain RayJob of a FineTuneJob, for clusters without our operator. `config` is a path."""
    return _operator(manifest, f"--config={config}", f"--bucket={bucket}")


def shown(manifest: Manifest, output: str) -> str:
    """A manifest as -o asks for it: yaml, json or name."""
    if output == "json":
        return json.dumps(manifest, indent=2)
    if output == "name":
        return f"finetunejob.lima.dev/{manifest['metadata']['name']}"
    return yaml.safe_dump(manifest, sort_keys=False).rstrip()


def submitters(name: str) -> str:
    """The pods that follow a job's log, one for each attempt: those of its pods that a Kubernetes Job made."""
    return f"--selector={JOB_LABEL}={name},batch.kubernetes.io/job-name"


def wait_for_log(kubectl: Kubectl, name: str) -> None:
    """Return once a job has a log to follow, or will have none; say meanwhile what it waits for."""
    told = ""
    while not kubectl("get", "pods", submitters(name), "--field-selector=status.phase!=Pending", "--output=name"):
        status = json.loads(kubectl("get", "finetunejobs.lima.dev", name, "--output=json")).get("status") or {}
        if status.get("phase") in ("Refused", "Suspended", "Succeeded", "Failed"):
            return
        reasons = [c["message"] for c in status.get("conditions") or [] if c.get("message")]
        why = reasons[0] if reasons else "waiting for the operator"
        if why != told:
            note(f"{name}: {why}")
            told = why
        time.sleep(WAIT_SECONDS)


def _operator(manifest: Manifest, *arguments: str) -> str:
    command = [sys.executable, "-m", "services.operator.render", *arguments]
    done = subprocess.run(command, input=json.dumps(manifest), capture_output=True, text=True)
    if done.returncode == 2:
        message, _, remedy = done.stderr.strip().removeprefix("error: ").partition("\nremedy: ")
        error = InvalidInput.rebuild(message, remedy=remedy)
        raise error
    if done.returncode:
        raise LimaError(done.stderr.strip())
    return done.stdout


def _set(spec: Manifest, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        inner = spec.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise InvalidInput("--set", path, f"{parent} is a value, not a section")
        spec = inner
    spec[last] = value
