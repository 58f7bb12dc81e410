"""What the front declares and the deployer makes true: one deployment for each model version."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
VERSION_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"


class DeploymentSpec(BaseModel):
    """`digest` names the content of the weights below `prefix` in the object store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=VERSION_PATTERN)
    prefix: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    engine: str = Field("", pattern=r"^[a-z]{0,32}$")
    min_replicas: int = Field(1, ge=1, le=256)
    max_replicas: int = Field(1, ge=1, le=256)

    @model_validator(mode="after")
    def _replicas_in_order(self) -> DeploymentSpec:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) must be at least min_replicas ({self.min_replicas})")
        return self

    @property
    def resource(self) -> str:
        return f"models/{self.model}/versions/{self.version}"

    @property
    def application(self) -> str:
        """Name of the Ray Serve application."""
        return f"{self.model}--{self.version}"

    @property
    def route(self) -> str:
        """Below it lies the OpenAI-compatible endpoint."""
        return f"/models/{self.model}/{self.version}"


class DeploymentState(BaseModel):
    """How far a deployment is. `state` is Serve's: DEPLOYING, RUNNING, UNHEALTHY, DEPLOY_FAILED, DELETING."""

    application: str
    route: str
    state: str
    message: str = ""
    replicas: int = 0
