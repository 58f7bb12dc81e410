"""What an image holds, without an engine: each role's locked set in an empty environment, and the files it copies."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.tools import ROOT

SERVICES = ("curation", "inference", "judging", "console", "operator", "cli")
# What a CPU service must not drag along.
HEAVY = {"torch", "transformers", "ray", "deepspeed", "accelerate", "vllm"}
ENTRY = {"cli": "services.cli.main"}
# Installed sizes as measured, with room for growth: a surprise here is a dependency that crept in.
LARGEST_MIB = {"curation": 520, "inference": 160, "judging": 330, "console": 180, "operator": 240, "cli": 160}


def dockerfile(name: str = "Dockerfile") -> str:
    return (ROOT / name).read_text().replace("\\\n", " ")


def copied(role: str, name: str = "Dockerfile") -> list[str]:
    """What of the repository an image's last stage copies."""
    last = dockerfile(name).rpartition("\nFROM ")[2]
    lines = re.findall(r"^COPY (?!--)(\S+) (\S+)$", last, re.MULTILINE)
    assert lines
    return [source.replace("${ROLE}", role) for source, _ in lines]


@pytest.fixture(scope="module")
def uv() -> str:
    found = Path(sys.executable).with_name("uv")
    if not found.exists():
        pytest.skip("uv is not beside this Python: the roles' environments cannot be made")
    return str(found)


@pytest.fixture(params=SERVICES)
def role(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def copy_code(folder: Path, role: str, name: str) -> None:
    for source in copied(role, name):
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)


def install(folder: Path, uv: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """What the Dockerfile installs, into an environment that held nothing."""
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / ".venv"], check=True)
    wanted = ["-r", str(ROOT / "pyproject.toml"), "-c", str(ROOT / "requirements.lock"), *flags]
    command = [uv, "pip", "install", "--quiet", "--python", folder / ".venv", *wanted]
    return subprocess.run(command, capture_output=True, text=True)


def packages(folder: Path, uv: str) -> set[str]:
    command = [uv, "pip", "list", "--python", folder / ".venv/bin/python", "--format=freeze"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.partition("==")[0].lower() for line in listed.splitlines()}


def start(folder: Path, modules: str) -> None:
    """Import modules as the image's Python would: with the image's code and environment, and nothing of ours."""
    path = [str(folder), str(folder / "protos")]
    command = [folder / ".venv/bin/python", "-I", "-c", f"import sys; sys.path[:0] = {path}; import {modules}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    started = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert started.returncode == 0, started.stderr[-2000:]


def mebibytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) >> 20


def test_a_service_starts_from_its_own_locked_set(role: str, tmp_path: Path, uv: str) -> None:
    copy_code(tmp_path, role, "Dockerfile")
    done = install(tmp_path, uv, "--extra", role)
    if done.returncode and re.search(r"error sending request|Network|Connection", done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
    names = packages(tmp_path, uv)
    assert not HEAVY & names
    start(tmp_path, ENTRY.get(role, f"services.{role}.__main__"))
    if role not in ("cli", "operator"):
        # Its init container and its migration job run the same image, and the bucket's job that of curation.
        start(tmp_path, "services.shared.migrate, services.shared.bucket")
    print(f"{role}: {mebibytes(tmp_path)} MiB in {len(names)} packages")
    assert mebibytes(tmp_path) <= LARGEST_MIB[role]


def test_the_ray_images_set_starts_training_and_serving(tmp_path: Path, uv: str) -> None:
    copy_code(tmp_path, "ray", "Dockerfile.ray")
    done = install(tmp_path, uv, "--extra", "ray", "--extra", "training", "--offline")
    if done.returncode and re.search(r"found in the cache|connectivity is disabled", done.stderr):
        pytest.skip(f"uv's cache does not hold the set, and a test fetches no gigabytes: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
    names = packages(tmp_path, uv)
    assert names >= {"torch", "ray", "deepspeed"}
    start(tmp_path, "services.inference.replica.__main__, services.inference.replica.app, training_jobs.__main__")
    assert (tmp_path / ".venv/bin/ray").exists(), "KubeRay starts `ray start`"
    print(f"ray: {mebibytes(tmp_path)} MiB in {len(names)} packages")


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.ray"])
def test_an_image_is_made_as_a_platform_engineer_asks(name: str) -> None:
    last = dockerfile(name).rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE), "a numeric user that is not root"
    assert "STOPSIGNAL SIGTERM" in last
    assert 'ENTRYPOINT ["python", "-m"]' in last, "no shell between the kubelet's signals and the program"
    assert dockerfile(name).count("FROM ${BASE}") == 2, "another base is an argument away"
    for label in ("title", "description", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{label}=" in last
    assert "-c requirements.lock" in dockerfile(name)


@pytest.mark.parametrize(("name", "role"), [*(("Dockerfile", role) for role in SERVICES), ("Dockerfile.ray", "ray")])
def test_everything_copied_exists_and_passes_the_ignore_file(name: str, role: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in copied(role, name):
        assert (ROOT / source).exists(), source
        assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source


def test_the_ignore_file_lets_nothing_in_that_is_not_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"


@pytest.mark.parametrize("engine", ["docker", "buildah", "podman"])
def test_the_build_script_asks_each_engine_for_every_image(engine: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "images/build.py", "--engine", engine, "--dry-run", "--base", "debian-python:1"],
        capture_output=True,
        text=True,
        check=True,
    )
    commands = [line for line in done.stderr.splitlines() if line.startswith(f"+ {engine} build ")]
    assert [re.search(r"--tag lima/(\w+):", line).group(1) for line in commands] == [*SERVICES, "ray"]  # type: ignore
    assert all("--build-arg BASE=debian-python:1" in line for line in commands)


def test_the_build_script_refuses_a_role_that_is_none() -> None:
    done = subprocess.run([sys.executable, ROOT / "images/build.py", "judge"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such role: judge" in done.stderr
    assert "curation" in done.stderr, "and says which there are"


@pytest.mark.parametrize(("roles", "image"), [(["curation"], ""), (["curation", "ray"], "registry/x:1"), ([], "x:1")])
def test_skaffolds_build_command_refuses_what_is_not_one_named_image(roles: list[str], image: str) -> None:
    command = [sys.executable, ROOT / "images/build.py", "--skaffold", "--engine", "docker", "--dry-run", *roles]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "IMAGE": image})
    assert done.returncode == 2
    assert "--skaffold takes one ROLE" in done.stderr


# What the two kinds of engine answer to the commands of a push; a FAKE of them, which writes down how it was called.
ENGINE = """#!{python}
import pathlib, sys
with open({calls!r}, "a") as calls:
    print(*sys.argv[1:], file=calls)
if sys.argv[1] == {broken!r}:
    sys.exit("no space left on device")
if "--digestfile" in sys.argv:
    pathlib.Path(sys.argv[sys.argv.index("--digestfile") + 1]).write_text("sha256:pushed")
if sys.argv[1] == "inspect":
    print("elsewhere/judging@sha256:older")
    print("registry.example.com/lima/judging@sha256:pushed")
"""


def pushed(engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str = "") -> tuple[str, dict[str, Any]]:
    """The exit message of a build and a push by a fake engine, and the values file that it wrote."""
    (folder / "bin").mkdir()
    program = folder / "bin" / engine
    program.write_text(ENGINE.format(python=sys.executable, calls=str(folder / "calls"), broken=broken))
    program.chmod(0o755)
    specification = importlib.util.spec_from_file_location("build", ROOT / "images/build.py")
    assert specification
    assert specification.loader
    build = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(build)
    monkeypatch.setattr(build, "DIGESTS", folder / "image-digests.yaml")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(
        sys, "argv", ["build.py", "judging", "--engine", engine, "--push", "registry.example.com/lima/"]
    )
    message = ""
    try:
        build.main()
    except SystemExit as ended:
        message = str(ended)
    written = build.DIGESTS.read_text() if build.DIGESTS.exists() else "{}"
    return message, yaml.safe_load(written)


@pytest.mark.parametrize("engine", ["docker", "buildah", "podman"])
def test_a_push_writes_the_digest_that_the_registry_gave(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, values = pushed(engine, tmp_path, monkeypatch)
    assert message == ""
    image = {"repository": "registry.example.com/lima/judging", "digest": "sha256:pushed"}
    assert values == {"images": {"judging": image}}


@pytest.mark.parametrize("broken", ["build", "push"])
def test_an_engine_that_fails_is_told_and_leaves_no_digests(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, values = pushed("podman", tmp_path, monkeypatch, broken)
    assert f"podman {broken} ended with 1" in message
    assert values == {}
