"""The front stays light: it runs in an image without torch, transformers and Ray."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "ray", "vllm", "safetensors")


def test_the_front_imports_no_heavy_library() -> None:
    script = f"import sys, services.inference.__main__; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
