"""Which engine runs a model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from services.inference.replica.engines.base import Engine
from services.shared.errors import FailedPrecondition, InvalidInput

ENGINES = ("openvino", "torch", "transformers", "vllm")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`engine` empty takes the best installed; `slots` are the requests decoded together."""

    engine: str = ""
    slots: int = 32
    context: int = 4096
    threads: int = 2


def open_engine(folder: Path, stop_ids: frozenset[int], options: EngineOptions) -> Engine:
    """Raises InvalidInput for an unknown engine and FailedPrecondition for one that cannot run this model."""
    engine = options.engine or best_engine(folder)
    opened: dict[str, Callable[[], Engine]] = {
        "openvino": lambda: _openvino(folder, stop_ids, options),
        "torch": lambda: _torch(folder, stop_ids, options),
        "transformers": lambda: _transformers(folder, stop_ids, options),
        "vllm": lambda: _vllm(folder, stop_ids, options),
    }
    if engine not in opened:
        raise InvalidInput("engine", engine, f"must be one of {', '.join(ENGINES)}, or empty for the best installed")
    return opened[engine]()


def best_engine(folder: Path) -> str:
    """vLLM where it and a GPU are at hand, else ours for the architectures it runs, else plain transformers.

    Ours with OpenVINO where that is installed, else with torch alone.
    """
    import torch
    from transformers import AutoConfig

    from services.inference.replica.engines.architecture import Shape, UnsupportedModel

    if find_spec("vllm") and torch.cuda.is_available():
        return "vllm"
    try:
        Shape.of(AutoConfig.from_pretrained(folder, local_files_only=True))
    except UnsupportedModel:
        return "transformers"
    return "openvino" if find_spec("openvino") else "torch"


def _openvino(folder: Path, stop_ids: frozenset[int], options: EngineOptions) -> Engine:
    if not find_spec("openvino"):
        raise FailedPrecondition(
            "engine 'openvino' is not installed in the replica's image",
            remedy="install lima[ray], or load it with engine 'torch'",
        )
    import torch

    from services.inference.replica.engines.architecture import UnsupportedModel
    from services.inference.replica.engines.batching import BatchingEngine
    from services.inference.replica.engines.openvino_decoder import OpenVinoDecoder
    from services.inference.replica.engines.turns import take_long_turns

    # Left to draw tokens only; threads of its own would spin beside OpenVINO's.
    torch.set_num_threads(1)
    try:
        # In a thread of its own: the threads that OpenVINO starts are as the one that starts them.
        with ThreadPoolExecutor(1, initializer=take_long_turns) as loader:
            loading = loader.submit(OpenVinoDecoder, folder, options.slots, options.context + 1, options.threads)
            decoder = loading.result()
    except UnsupportedModel as error:
        raise FailedPrecondition(str(error)) from error
    return BatchingEngine("openvino", decoder, stop_ids, slots=options.slots, context=options.context)


def _torch(folder: Path, stop_ids: frozenset[int], options: EngineOptions) -> Engine:
    import torch

    from services.inference.replica.engines.architecture import UnsupportedModel
    from services.inference.replica.engines.batching import BatchingEngine
    from services.inference.replica.engines.torch_decoder import TorchDecoder

    torch.set_num_threads(options.threads)
    try:
        decoder = TorchDecoder(folder, options.slots, options.context + 1)
    except UnsupportedModel as error:
        raise FailedPrecondition(str(error)) from error
    return BatchingEngine("torch", decoder, stop_ids, slots=options.slots, context=options.context)


def _transformers(folder: Path, stop_ids: frozenset[int], options: EngineOptions) -> Engine:
    from services.inference.replica.engines.reference import ReferenceEngine

    return ReferenceEngine(folder, stop_ids, threads=options.threads)


def _vllm(folder: Path, stop_ids: frozenset[int], options: EngineOptions) -> Engine:
    if not find_spec("vllm"):
        raise FailedPrecondition(
            "engine 'vllm' is not installed in the replica's image",
            remedy="use an image with vLLM, or name an environment with it in LIMA_REPLICA_VLLM_PYTHON "
            "(python -m services.inference.replica.vllm_environment makes one), or load it with engine 'torch'",
        )
    from services.inference.replica.engines.vllm import VllmEngine

    return VllmEngine(folder, stop_ids, options)
