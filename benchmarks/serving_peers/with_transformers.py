"""Worker: plain `transformers.generate`, one request at a time (see the package)."""

from __future__ import annotations

import json
import sys
import time
from threading import Thread
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer


def main() -> None:
    torch.set_num_threads(2)
    model: Any = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(sys.argv[1])
    print(json.dumps({"name": f"transformers {transformers.__version__} generate, one at a time"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = stamped if request.get("stamps") else answered
        print(json.dumps(answer(model, tokenizer, request["prompts"], request["tokens"])), flush=True)


def answered(model: Any, tokenizer: Any, prompts: list[str], tokens: int) -> dict[str, Any]:
    drawn: int = 0
    texts = []
    begin = time.perf_counter()
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        new = output[0, inputs["input_ids"].shape[1] :]
        drawn += int((new != model.generation_config.eos_token_id).sum())
        texts.append(tokenizer.decode(new, skip_special_tokens=True))
    return {"tokens": drawn, "seconds": time.perf_counter() - begin, "texts": texts}


def stamped(model: Any, tokenizer: Any, prompts: list[str], tokens: int) -> dict[str, Any]:
    """When each piece of each prompt's answer came, in seconds from its request; one at a time."""
    stamps = []
    for prompt in prompts:
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
        inputs = tokenizer(prompt, return_tensors="pt")
        begin = time.perf_counter()
        settings = {"do_sample": False, "max_new_tokens": tokens, "streamer": streamer}
        thread = Thread(target=model.generate, kwargs=dict(inputs) | settings)
        thread.start()
        stamps.append([time.perf_counter() - begin for piece in streamer if piece])
        thread.join()
    return {"stamps": stamps}


if __name__ == "__main__":
    main()
