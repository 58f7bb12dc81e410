"""Settings of the curation service: those of every program, and its own with the prefix LIMA_CURATION_."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from services.curation.web import is_web
from services.shared.settings import Settings


def _url_prefix(value: str) -> str:
    if not is_web(value) or not value.endswith("/") or "@" in value:
        raise ValueError("must be http:// or https://, end with / and hold no credentials")
    return value


UrlPrefix = Annotated[str, AfterValidator(_url_prefix)]


class CurationSettings(Settings):
    # Folders of this machine that ImportCorpus may read; none by default.
    curation_import_roots: tuple[Path, ...] = ()
    # Web addresses below which ImportCorpus may fetch; each ends with "/".
    curation_import_urls: tuple[UrlPrefix, ...] = ("https://archive.org/download/",)
    # Processes that read corpora; small corpora are read in one.
    curation_workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=512)
    # What one compressed file or archive may decode to.
    curation_max_decoded_bytes: int = Field(256 << 30, ge=1 << 20)
    # "local", or "ray" to read a part (a site, a file) at a time on each processor of the cluster at RAY_ADDRESS.
    curation_runner: str = Field("local", pattern="^(local|ray)$")

    @property
    def local_folder(self) -> Path:
        return self.state_dir.absolute() / "curation"
