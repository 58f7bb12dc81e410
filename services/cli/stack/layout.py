"""Where the local stack keeps its data and which ports it listens on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import socket
import tempfile
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Self

from services.shared.errors import DataCorrupt, FailedPrecondition, InvalidInput
from services.shared.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT_BASE = 7400
MAX_PORT_BASE = 55_000
BLOCK_TRIES = 50
OBJECT_STORE_VARIABLES = f"{PREFIX}OBJECT_STORE_"


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the stack, all in one block so that two stacks do not meet."""

    object_store: int
    curation: int
    inference: int
    judging: int
    replica: int
    console: int
    ray: int
    ray_client: int
    ray_agent: int
    # The insides of the embedded object store.
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    object_store_grpc: int
    admin: int
    curation_metrics: int
    inference_metrics: int
    judging_metrics: int
    console_metrics: int

    @classmethod
    def from_base(cls, base: int) -> Self:
        """Ports from `base` upwards; 0 looks for a free block.

        Raises InvalidInput for a block outside of what may be chosen, FailedPrecondition if some of it is taken.
        """
        count = len(fields(cls))
        if base == 0:
            return cls.free_block()
        if not 1024 <= base <= MAX_PORT_BASE:
            raise InvalidInput("--port-base", base, f"must be 0 or lie in [1024, {MAX_PORT_BASE}]")
        return cls(*range(base, base + count))

    @classmethod
    def free_block(cls) -> Self:
        """Raises FailedPrecondition if no block was found free."""
        count = len(fields(cls))
        # Below the range from which systems take ports for outgoing connections.
        starts = [random.randrange(20_000, 22_500) for _ in range(BLOCK_TRIES)]
        blocks = (cls(*range(start, start + count)) for start in starts)
        found = next((block for block in blocks if not block.taken()), None)
        if found is None:
            raise FailedPrecondition("found no block of free ports", remedy="choose one with --port-base")
        return found

    @property
    def admin_grpc(self) -> int:
        """Where the object store's own workers expect it, whatever they are told."""
        return self.admin + 10_000

    def taken(self) -> dict[str, int]:
        every = {**asdict(self), "admin_grpc": self.admin_grpc}
        return {name: port for name, port in every.items() if not is_free(port)}

    def check_free(self) -> None:
        """Raise FailedPrecondition naming the ports that another program holds."""
        taken = self.taken()
        if taken:
            listed = ", ".join(f"{port} ({name.replace('_', ' ')})" for name, port in taken.items())
            raise FailedPrecondition(
                f"port {listed} on 127.0.0.1 is taken by another program",
                remedy="end that program, or choose another block with --port-base 7500 (0 looks for a free one)",
            )


def object_store_elsewhere() -> dict[str, str]:
    """The variables of this environment that name an S3 server; empty where it names none."""
    if f"{OBJECT_STORE_VARIABLES}ENDPOINT" not in os.environ:
        return {}
    return {name: value for name, value in os.environ.items() if name.startswith(OBJECT_STORE_VARIABLES)}


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class StackFile:
    """`stack.json`: what a stack is made of, so that any later command finds it. Readable by its owner only."""

    ports: Ports
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    ray_token: str = field(default_factory=lambda: secrets.token_hex(32))
    access_key: str = field(default_factory=lambda: "lima-" + secrets.token_hex(6))
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    # The variables that name an S3 server elsewhere; empty where the stack has its own.
    object_store: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> StackFile | None:
        """The stack that was started with this state directory, or None."""
        try:
            raw = json.loads(path.read_text())
            return cls(**{**raw, "ports": Ports(**raw["ports"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise DataCorrupt(
                f"{path} cannot be read: {error}", remedy="lima down --purge removes it together with the stack's data"
            ) from error

    def write(self, path: Path) -> None:
        scratch = path.with_suffix(".new")
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
        scratch.replace(path)


@dataclass(frozen=True)
class StackLayout:
    """The folders below one state directory."""

    state_dir: Path

    @property
    def stack_file(self) -> Path:
        return self.state_dir / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.state_dir / "stack.lock"

    @property
    def objects(self) -> Path:
        return self.state_dir / "objects"

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @property
    def processes(self) -> Path:
        return self.state_dir / "processes"

    @property
    def specs(self) -> Path:
        return self.state_dir / "specs"

    @property
    def reports(self) -> Path:
        return self.state_dir / "reports"

    @property
    def ray_temp(self) -> Path:
        """Ray's own folder: outside the state directory, because its socket paths may have only 107 characters."""
        from pathlib import Path

        name = hashlib.sha256(str(self.state_dir.resolve()).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"lima-ray-{name}"

    @property
    def ray_address(self) -> Path:
        """Where a head of Ray leaves its address when it has started."""
        return self.ray_temp / "ray_current_cluster"

    def create(self) -> None:
        for folder in (self.state_dir, self.objects, self.logs, self.processes, self.specs, self.reports):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
