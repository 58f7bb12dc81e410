"""What cannot run is refused before a pod is asked for, with the arithmetic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.operator.config import byte_count
from services.operator.plan import refusal_of
from services.operator.state import Refusal
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from tests.unit.operator.jobs import DIGEST, MODEL, config, job, put_inputs

# LLaMA-7B, as its config.json says it.
SEVEN_BILLION = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000,
    "tie_word_embeddings": False,
}  # fmt: skip
ON_GPUS: dict[str, Any] = {
    "gpusPerWorker": 1,
    "zeroStage": 3,
    "microBatchTokens": 2048,
    "activationCheckpointing": True,
}


@pytest.fixture
def store(object_store: ObjectStore) -> ObjectStore:
    put_inputs(object_store)
    object_store.put_bytes(f"{MODEL}/config.json", json.dumps(SEVEN_BILLION).encode())
    return object_store


def refused(store: ObjectStore, changes: dict[str, Any], **spec: Any) -> Refusal | None:
    return refusal_of(job(recipe={"precision": "bf16"}, **spec), store, config(**changes))


def pool(memory: str, gpu: str = "") -> dict[str, Any]:
    return {"gpuMemory": gpu, "worker": {"resources": {"limits": {"memory": memory}}}}


def test_seven_billion_parameters_fit_eight_gpus_and_not_one(store: ObjectStore) -> None:
    assert refused(store, pool("256Gi", "80Gi"), compute={**ON_GPUS, "workers": 8}) is None
    alone = refused(store, pool("256Gi", "80Gi"), compute={**ON_GPUS, "workers": 1})
    assert alone
    assert (alone.reason, alone.final) == ("DoesNotFit", True)
    # 16 bytes for each of 6.7 billion parameters is more than one GPU has.
    assert "6.738 billion parameters, bf16, ZeRO-3 on 1 workers" in alone.message
    assert "one of the cluster's GPUs has 85.9 GB" in alone.message
    assert "It fits with compute." in alone.message.splitlines()[0]
    assert "zero_stage" not in alone.message.splitlines()[0], "settings are spelled as the job spells them"


def test_offloading_needs_the_pods_memory(store: ObjectStore) -> None:
    offloaded = {**ON_GPUS, "workers": 1, "offloadOptimizer": True}
    assert refused(store, pool("256Gi", "80Gi"), compute=offloaded) is None
    small = refused(store, pool("64Gi", "80Gi"), compute=offloaded)
    assert small
    assert "GB of host memory" in small.message


def test_a_worker_without_a_gpu_has_its_share_of_the_pod(store: ObjectStore) -> None:
    cpu = {"workers": 2, "zeroStage": 3, "microBatchTokens": 2048, "activationCheckpointing": True}
    assert refused(store, pool("200Gi"), compute=cpu) is None
    shared = refused(store, pool("100Gi"), compute=cpu, workersPerPod=2)
    assert shared
    assert "its pod gives it 53.7 GB" in shared.message


def test_a_cluster_that_says_nothing_of_its_gpus_checks_nothing(store: ObjectStore) -> None:
    assert refused(store, pool("1Gi"), compute={**ON_GPUS, "workers": 1}) is None


def test_what_is_missing_is_named_and_may_come(store: ObjectStore) -> None:
    store.delete_prefix(f"{MODEL}/")
    missing = refusal_of(job(), store, config())
    assert missing
    assert (missing.reason, missing.final) == ("ModelNotFound", False)
    assert f"{MODEL}/manifest.json" in missing.message
    store.delete_prefix("datasets/")
    first = refusal_of(job(), store, config())
    assert first
    assert (first.reason, DIGEST in first.message) == ("DatasetNotFound", True)


def test_a_config_that_is_none_is_refused(store: ObjectStore) -> None:
    store.put_bytes(f"{MODEL}/config.json", b"{")
    unreadable = refused(store, pool("1Gi", "80Gi"))
    assert unreadable
    assert unreadable.reason == "ModelUnreadable"


@pytest.mark.parametrize(("text", "count"), [("80Gi", 80 << 30), ("1.5G", 1_500_000_000), (7, 7), ("512Mi", 512 << 20)])
def test_memory_is_counted_in_bytes(text: str | int, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["", "lots", "1GiB", "-1Gi", "1e3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        byte_count(text)
