"""Worker: OpenVINO GenAI's continuous batching, all prompts in one call (see the package)."""

from __future__ import annotations

import json
import sys
import time

import openvino_genai  # type: ignore[import-not-found]


def main() -> None:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 2  # GiB
    scheduler.max_num_seqs = 32
    # Weights are float32 in the export, and are to be computed with as such.
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        sys.argv[1], scheduler, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    tokenizer = pipeline.get_tokenizer()
    answer(pipeline, ["Warm up."], 4)
    version = openvino_genai.__version__.partition("-")[0]
    print(json.dumps({"name": f"openvino-genai {version}, float32"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.perf_counter()
        texts = answer(pipeline, request["prompts"], request["tokens"])
        seconds = time.perf_counter() - begin
        # Its results hold text only; counting its tokens again is exact but for texts that end within a character.
        tokens = sum(tokenizer.encode(text).input_ids.shape[1] for text in texts)
        print(json.dumps({"tokens": tokens, "seconds": seconds, "texts": texts}), flush=True)


def answer(pipeline: openvino_genai.ContinuousBatchingPipeline, prompts: list[str], tokens: int) -> list[str]:
    settings = pipeline.get_config()  # knows the model's own end-of-turn token
    settings.max_new_tokens = tokens
    settings.do_sample = False
    settings.apply_chat_template = False
    results = pipeline.generate(prompts, [settings] * len(prompts))
    return [result.m_generation_ids[0] for result in results]


if __name__ == "__main__":
    main()
