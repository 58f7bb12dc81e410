"""Hugging Face model folders: looked through before they are trusted, and put into the store.

Nothing here loads a tensor: sizes and shapes are read from the headers of the safetensors files.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.shared.digest import digest_file, digest_json
from services.shared.errors import AlreadyExists, DataCorrupt
from services.shared.objects import ObjectStore

MAX_HEADER_BYTES = 100 << 20
TOKENIZERS = ("tokenizer.json", "tokenizer.model")
REMEDY = "make the folder again (save_pretrained with safetensors), then register it again"


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """`context_length` in tokens; `has_template` tells whether the model can chat."""

    model_type: str
    parameter_count: int
    context_length: int
    has_template: bool


@dataclass(frozen=True, slots=True)
class Published:
    """A version in the store. `digest` is that of its files; `prefix` has no trailing slash."""

    model: str
    version: str
    prefix: str
    digest: str
    facts: FolderFacts
    origin: str


def inspect_folder(folder: Path) -> FolderFacts:
    """Raises DataCorrupt that names the file and the fault."""
    config = _read_json(folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise _fault("config.json", "names no model_type")
    context = config.get("max_position_embeddings")
    if not isinstance(context, int) or context < 2:
        raise _fault("config.json", f"max_position_embeddings is {context!r}")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise _fault(TOKENIZERS[0], "is missing")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise _fault("model.safetensors", "is missing (other weight formats can run code and are refused)")
    index = folder / "model.safetensors.index.json"
    if index.exists():
        missing = sorted(set(_read_json(index).get("weight_map", {}).values()) - {file.name for file in files})
        if missing:
            raise _fault(missing[0], "is named by the index but missing")
    if (folder / "generation_config.json").exists():
        _read_json(folder / "generation_config.json")
    settings = folder / "tokenizer_config.json"
    has_template = (folder / "chat_template.jinja").is_file() or (
        settings.is_file() and bool(_read_json(settings).get("chat_template"))
    )
    return FolderFacts(config["model_type"], sum(map(_parameters, files)), context, has_template)


def publish(
    store: ObjectStore, model: str, version: str, folder: Path, origin: str, extra: dict[str, Any] | None = None
) -> Published:
    """Puts an inspected folder under models/<model>/<version>, the first 12 digits of its digest if none is given.

    The same content again is found there and kept. Raises AlreadyExists for other content of that version.
    """
    facts = inspect_folder(folder)
    digest = digest_json(_entries(folder))
    version = version or digest[:12]
    prefix = f"models/{model}/{version}"
    existing = find_published(store, model, version)
    if existing is not None:
        if existing.digest != digest:
            raise AlreadyExists(
                "model version", f"models/{model}/versions/{version}", remedy="it holds other content: name a new one"
            )
        return existing
    store.put_folder(prefix, folder, {"origin": origin, "facts": asdict(facts)} | (extra or {}))
    return Published(model, version, prefix, digest, facts, origin)


def find_published(store: ObjectStore, model: str, version: str) -> Published | None:
    """A version that is whole in the store, or None."""
    prefix = f"models/{model}/{version}"
    manifest = store.get_manifest(prefix)
    if manifest is None:
        return None
    try:
        facts, digest = FolderFacts(**manifest["facts"]), content_digest(manifest)
    except (KeyError, TypeError) as error:
        raise DataCorrupt(f"{store.uri(prefix)}/manifest.json is not one of ours", REMEDY) from error
    return Published(model, version, prefix, digest, facts, str(manifest.get("origin", "")))


def content_digest(manifest: dict[str, Any]) -> str:
    """The digest of a folder: that of its list of files with their sizes and digests."""
    return digest_json(manifest["files"])


def _entries(folder: Path) -> list[dict[str, Any]]:
    """As `ObjectStore.put_folder` will list them."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / "manifest.json"]
    return [
        {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": digest_file(path)}
        for path in paths
    ]


def _parameters(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise _fault(path.name, "is not a safetensors file")
        try:
            header = json.loads(file.read(length))
            tensors = [value for name, value in header.items() if name != "__metadata__"]
            end = max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
            count = sum(int(math.prod(tensor["shape"])) for tensor in tensors)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise _fault(path.name, "has a broken header") from error
    if 8 + length + end != size:
        raise _fault(
            path.name, f"has {size} bytes where its header says {8 + length + end}: it is cut short or damaged"
        )
    return count


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise _fault(path.name, "is missing") from None
    except (ValueError, RecursionError) as error:
        raise _fault(path.name, "is not JSON") from error
    if not isinstance(value, dict):
        raise _fault(path.name, "is not a JSON object")
    return value


def _fault(file: str, fault: str) -> DataCorrupt:
    return DataCorrupt(f"the model folder's {file} {fault}", REMEDY)
