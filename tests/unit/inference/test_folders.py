"""Model folders: what is looked through, and every way in which one can be broken."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.folders import content_digest, find_published, inspect_folder, publish
from services.shared.errors import AlreadyExists, DataCorrupt
from services.shared.objects import ObjectStore


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_facts_of_a_good_folder(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    facts = inspect_folder(folder)
    expected = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_pretrained(folder).parameters())
    assert (facts.model_type, facts.parameter_count, facts.context_length) == ("llama", expected, 2048)
    assert facts.has_template


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def claim_a_huge_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])


def name_a_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


BREAKS: list[tuple[Callable[[Path], object], str]] = [
    (truncate, "model.safetensors has .* it is cut short or damaged"),
    (claim_a_huge_header, "is not a safetensors file"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is not a safetensors file"),
    (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
    (lambda folder: (folder / "config.json").write_text("[]"), "config.json is not a JSON object"),
    (lambda folder: (folder / "config.json").write_text("{}"), "names no model_type"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "max_position_embeddings"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    (name_a_missing_shard, "model-00002-of-00002.safetensors is named by the index but missing"),
    (lambda folder: (folder / "generation_config.json").write_text("nope"), "generation_config.json is not JSON"),
]


@pytest.mark.parametrize(("damage", "message"), BREAKS)
def test_a_broken_folder_is_refused_with_the_file_named(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(DataCorrupt, match=message):
        inspect_folder(folder)


@given(data=st.binary(max_size=200))
def test_any_bytes_in_place_of_weights_are_refused_plainly(tiny_folder: Path, data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("config.json", "tokenizer.json"):
            shutil.copy(tiny_folder / name, folder)
        (folder / "model.safetensors").write_bytes(data)
        # A header of no tensors is the only short file that is whole.
        whole = len(data) > 8 and data[:8] == struct.pack("<Q", len(data) - 8) and data[8:].strip() == b"{}"
        with nullcontext() if whole else pytest.raises(DataCorrupt, match=r"model\.safetensors"):
            inspect_folder(folder)


def test_publishing_is_idempotent_and_refuses_other_content(folder: Path, object_store: ObjectStore) -> None:
    first = publish(object_store, "tiny", "", folder, "folder model")
    assert publish(object_store, "tiny", first.version, folder, "again") == first
    assert find_published(object_store, "tiny", first.version) == first
    manifest = object_store.get_manifest(first.prefix)
    assert manifest is not None
    assert content_digest(manifest) == first.digest
    assert first.version == first.digest[:12]
    (folder / "generation_config.json").write_text('{"eos_token_id": 1}')
    with pytest.raises(AlreadyExists, match="other content"):
        publish(object_store, "tiny", first.version, folder, "changed")


def test_nothing_of_a_broken_folder_reaches_the_store(folder: Path, object_store: ObjectStore) -> None:
    truncate(folder)
    with pytest.raises(DataCorrupt):
        publish(object_store, "tiny", "v1", folder, "folder model")
    assert list(object_store.list("models/")) == []
