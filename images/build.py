"""Build the images with docker, buildah or podman, whichever is there.

    python images/build.py                                  # every image, as lima/<role>:<version>
    python images/build.py curation ray --base registry.example.com/python:3.11-slim
    python images/build.py --push registry.example.com/lima # and write image-digests.yaml for Helm
    python images/build.py --skaffold curation              # as Skaffold's custom build command

What the images hold is checked without an engine by tests/chart/test_images.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("curation", "inference", "judging", "console", "operator", "cli")
ROLES = (*SERVICES, "ray")
ENGINES = ("docker", "buildah", "podman")
DIGESTS = ROOT / "image-digests.yaml"


def version() -> str:
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["version"]


def revision() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def build_command(engine: str, role: str, image: str, base: str | None) -> list[str]:
    """The engine's command that builds one image; the three spell it alike but for the verb."""
    command = [engine, "build", "--tag", image, "--file", "Dockerfile.ray" if role == "ray" else "Dockerfile"]
    arguments = {"VERSION": version(), "REVISION": revision()}
    arguments |= {} if role == "ray" else {"ROLE": role}
    arguments |= {"BASE": base} if base else {}
    # A mirror or a folder of wheels that this machine's uv is told of.
    arguments |= {name: os.environ[name] for name in ("UV_INDEX_URL", "UV_FIND_LINKS") if os.environ.get(name)}
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    return [*command, "."]


def push(engine: str, image: str) -> str:
    """Push an image; returns the digest that the registry gave it.

    Layers are compressed on the way there, so that the image has another digest here: the push itself must tell.
    """
    if engine != "docker":
        with tempfile.NamedTemporaryFile("r") as told:
            run([engine, "push", "--digestfile", told.name, image])
            return told.read().strip()
    run([engine, "push", image])
    inspect = [engine, "inspect", "--format", '{{join .RepoDigests "\\n"}}', image]
    digests = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.split()
    # An image that was pushed to several registries has a line for each.
    return next(line for line in digests if line.startswith(f"{repository(image)}@")).rpartition("@")[2]


def repository(image: str) -> str:
    return image.rpartition(":")[0]


def run(command: list[str]) -> None:
    """Run an engine, or end with its own words and what was asked of it."""
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        sys.exit(f"error: {' '.join(command[:2])} ended with {done.returncode}: see above what it says")


def engine_of_this_machine(wanted: str | None) -> str:
    for engine in [wanted] if wanted else ENGINES:
        if shutil.which(engine):
            return engine
    names = wanted or ", ".join(ENGINES)
    sys.exit(f"error: none of {names} is on the PATH. Remedy: install one, or build where there is one")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roles", nargs="*", metavar="ROLE", help=f"of {', '.join(ROLES)}; default: all")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--base", help="base image; default: the Dockerfile's")
    parser.add_argument("--push", metavar="REGISTRY", help="push there, and write image-digests.yaml")
    parser.add_argument("--skaffold", action="store_true", help="take name and wish to push from Skaffold")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    options = parser.parse_args()
    unknown = set(options.roles) - set(ROLES)
    if unknown:
        parser.error(f"no such role: {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}")
    if options.skaffold and (len(options.roles) != 1 or not os.environ.get("IMAGE")):
        parser.error("--skaffold takes one ROLE, and its image's name from IMAGE, which Skaffold sets")
    engine = options.engine or "docker" if options.dry_run else engine_of_this_machine(options.engine)
    registry = f"{options.push.rstrip('/')}/" if options.push else "lima/"
    digests = {}
    for role in options.roles or ROLES:
        image = os.environ["IMAGE"] if options.skaffold else f"{registry}{role}:{version()}"
        command = build_command(engine, role, image, options.base)
        print("+", *command, file=sys.stderr)
        if options.dry_run:
            continue
        run(command)
        if options.push or (options.skaffold and os.environ.get("PUSH_IMAGE") == "true"):
            digests[role] = {"repository": repository(image), "digest": push(engine, image)}
    if options.push and digests:
        # JSON is YAML.
        DIGESTS.write_text(json.dumps({"images": digests}, indent=2) + "\n")
        print(f"helm install ... --values {DIGESTS.name} --set images.requireDigests=true", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
