"""What a run is made of, on this machine: the base model with EOT, and the tokenised splits."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from services.shared.digest import digest_json
from services.shared.records import Example
from services.shared.settings import Settings
from training_jobs.base_model import load_tokenizer
from training_jobs.dataset import Corpus, Encoder, encode_split, read_examples
from training_jobs.spec import TrainingSpec
from training_jobs.storage import FolderStorage, fetch_folder, locate
from training_jobs.tokens import prepare_base


@dataclass(frozen=True)
class Materials:
    """The prepared base folder, the training split, what perplexity is measured on (may be empty), and whose prompts
    checkpoints answer."""

    prepared: Path
    train: Corpus
    held_out: Corpus
    prompts: tuple[Example, ...]


def gather(spec: TrainingSpec, settings: Settings) -> Materials:
    """Fetch, prepare and tokenise. Ranks of one machine share the work through its cache.

    Raises InvalidInput for a base model or a dataset that cannot be trained on.
    """
    cache = settings.state_dir.absolute() / "training" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(cache / "lock"):
        dataset = fetch_folder(spec.dataset, settings, cache, "dataset")
        base = fetch_folder(spec.base_model, settings, cache, "base_model")
        prepared = _prepared(base, spec, cache)
        held_out_path = _held_out_path(spec, dataset, settings, cache)
    encoder = Encoder(load_tokenizer(prepared), spec.recipe)
    train = encode_split(dataset / "train.jsonl", encoder)
    held_out = encode_split(held_out_path, encoder, limit=spec.evaluation.max_examples, optional=True)
    count = max(spec.evaluation.answers, spec.evaluation.stop_check)
    prompts = _prompts(held_out_path, count) or _prompts(dataset / "train.jsonl", count)
    return Materials(prepared, train, held_out, prompts)


def _prompts(path: Path, count: int) -> tuple[Example, ...]:
    if not path.is_file():
        return ()
    return tuple(islice((example for example in read_examples(path) if example.prompt()), count))


def _prepared(base: Path, spec: TrainingSpec, cache: Path) -> Path:
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in base.iterdir())
    recipe = spec.recipe.model_dump(mode="json", include={"end_of_turn", "begin_with_bos"})
    target = cache / f"base-{digest_json([str(base), files, recipe])[:16]}"
    if not target.is_dir():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            prepare_base(base, spec.recipe, partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _held_out_path(spec: TrainingSpec, dataset: Path, settings: Settings, cache: Path) -> Path:
    if not spec.evaluation.dataset:
        return dataset / "dev.jsonl"
    storage, key = locate(spec.evaluation.dataset, settings)
    if isinstance(storage, FolderStorage):
        return storage.root / key
    path = cache / f"held-out-{digest_json(spec.evaluation.dataset)[:16]}.jsonl"
    path.write_bytes(storage.get_bytes(key, max_bytes=1 << 30))
    return path


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
