"""Dataset specs in files: alone, or among the datasets of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lima.curation.v1.spec_pb2 import DatasetSpec


def read_spec(file: Path, dataset: str) -> DatasetSpec:
    """A DatasetSpec from a file of its own or from the `datasets` of an experiment file."""
    import yaml

    from lima.curation.v1.spec_pb2 import DatasetSpec
    from services.cli.experiment.messages import parse_message
    from services.shared.errors import InvalidInput, NotFound

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound("file", str(file), remedy=str(error.strerror)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput("file", str(file), f"must be YAML: {str(error)[:200]}") from None
    if isinstance(document, dict) and isinstance(document.get("datasets"), dict):
        known = document["datasets"]
        name = dataset or (next(iter(known)) if len(known) == 1 else "")
        if name not in known:
            raise InvalidInput("--dataset", dataset, f"must be one of {', '.join(known)}")
        document = {"name": name, **known[name]}
    return parse_message(document, DatasetSpec(), "dataset")
