"""Settings of the replica side."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.shared.settings import Port, Settings


class ReplicaSettings(Settings):
    """Read by every process of the Serve application; on Kubernetes from the pods' environment."""

    # Where weights are kept between loads, shared by the replicas of a node; empty is state_dir/weights.
    weights_dir: Path | None = None
    # Where Serve listens for HTTP.
    replica_host: str = "127.0.0.1"
    replica_port: Port = 8000
    # What Ray sets aside for one replica; not a limit.
    replica_cpus: float = Field(1, ge=0, le=1024)
    replica_gpus: float = Field(0, ge=0, le=64)
    replica_threads: int = Field(2, ge=1, le=1024)
    # Requests decoded together, and the longest text of prompt and output in tokens.
    replica_slots: int = Field(32, ge=2, le=1024)
    replica_context: int = Field(4096, ge=16, le=1_000_000)
    # The python of an environment with vLLM (see vllm_environment), in which replicas of engine 'vllm' run.
    # Left out, they run in the common one: on an image that carries vLLM.
    replica_vllm_python: Path | None = None
    # Autoscaling aims at this many requests in flight per replica.
    replica_target_requests: int = Field(32, ge=1, le=10_000)
    # How long the load must ask for more or fewer replicas before they come or go.
    replica_upscale_seconds: float = Field(10, ge=0, le=3600)
    replica_downscale_seconds: float = Field(300, ge=0, le=86400)
    replica_drain_seconds: float = Field(60, ge=0, le=3600)

    @property
    def weights_folder(self) -> Path:
        return (self.weights_dir or self.state_dir / "weights").absolute()
