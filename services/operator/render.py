"""The RayJob of a FineTuneJob, without a cluster: what the operator would submit.

    python -m services.operator.render --config operator.json < finetunejob.yaml > rayjob.yaml
    python -m services.operator.render --check < finetunejob.yaml     # only says what is wrong with the job

A RayJob made so runs under KubeRay alone, with no operator of ours in the cluster.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from services.operator.config import load_config
from services.operator.finetunejob import API_VERSION, KIND, MAX_NAME, NAME_PATTERN, NAME_RULE, parse_job
from services.operator.rayjob import ray_job
from services.shared.errors import InvalidInput, LimaError

MAX_BYTES = 1 << 20


def read_manifest(text: str) -> dict[str, Any]:
    """A FineTuneJob's manifest from YAML or JSON.

    Raises:
        InvalidInput: it is something else, too large, or has a name that leaves no room for the child's.
    """
    if len(text) > MAX_BYTES:
        raise InvalidInput("standard input", f"{len(text)} characters", f"must be at most {MAX_BYTES}")
    try:
        manifest = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput("standard input", text[:80], f"must be YAML or JSON: {error}") from None
    if not isinstance(manifest, dict) or (manifest.get("apiVersion"), manifest.get("kind")) != (API_VERSION, KIND):
        raise InvalidInput("standard input", str(manifest)[:80], f"must be one {API_VERSION} {KIND}")
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or len(name) > MAX_NAME or not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput("metadata.name", name, NAME_RULE)
    return manifest


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="the cluster's facts: operator.json of the chart's ConfigMap")
    parser.add_argument("--bucket", default="lima", help="the platform's bucket; default: %(default)s")
    parser.add_argument("--check", action="store_true", help="print nothing but what is wrong")
    options = parser.parse_args(arguments)
    try:
        job = parse_job(read_manifest(sys.stdin.read(MAX_BYTES + 1)))
        spec = job.training_spec(options.bucket)
        if options.check:
            return 0
        if options.config is None:
            raise InvalidInput("--config", "", "is needed to render: it names the image and the pools")
        # Through JSON, so that YAML repeats what is shared instead of pointing at it.
        child = json.loads(json.dumps(ray_job(job, spec, load_config(options.config))))
        print(yaml.safe_dump(child, sort_keys=False), end="")
    except LimaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
