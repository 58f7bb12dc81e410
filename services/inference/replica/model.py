"""A loaded model: its tokenizer and chat template around an engine. Text in, text out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from services.inference.answers import Answer, Completion, Finish, Piece, TextScore, TokenLogprob, Usage
from services.inference.replica.engines.base import Engine, TokenChoice, TokenScores
from services.inference.replica.engines.choice import EngineOptions, open_engine
from services.inference.replica.engines.text import TextStream
from services.inference.sampling import Sampling
from services.shared.errors import FailedPrecondition, InvalidInput
from services.shared.records import Turn

VERIFY_PROMPT = "Say hello."
VERIFY_TOKENS = 32
# Outweighs the logits of any model; more than vLLM admits would be cut off.
STEERING_BIAS = 100.0
# A text that the chat template cannot contain, to find what it writes after an answer.
MARKER = "lima-marker"
UNFINISHED = "the engine ended a generation without saying why"


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of the first real generation, which did stop at the end-of-turn token.

    `unaided` tells whether the model drew that token by itself within `VERIFY_TOKENS`, or was steered to it.
    """

    text: str
    unaided: bool

    @property
    def message(self) -> str:
        if self.unaided:
            return "generated a text and stopped at its end-of-turn token"
        return (
            f"stops at its end-of-turn token, but did not draw it by itself within {VERIFY_TOKENS} tokens: "
            "answers may run to max_tokens"
        )


class ServedModel:
    """One version of one model in memory. `name` is reported as the model that answered."""

    def __init__(self, name: str, folder: Path, options: EngineOptions) -> None:
        self.name = name
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.engine: Engine = open_engine(folder, stop_ids(folder, self._tokenizer), options)

    async def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        """Prompt tokens of a conversation, in the model's own chat template."""
        if not self._tokenizer.chat_template:
            raise FailedPrecondition(
                f"{self.name} has no chat template", remedy="use Generate with raw text, or register it with a template"
            )
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return self._room(await asyncio.to_thread(self._encode, text, False), "messages")

    async def text_ids(self, text: str) -> list[int]:
        return self._room(await asyncio.to_thread(self._encode, text, True), "prompt")

    async def stream(
        self, prompt_ids: Sequence[int], sampling: Sampling, index: int = 0, *, stop_bias: float = 0.0
    ) -> AsyncIterator[Piece]:
        """Pieces of one answer; the last has `finish` and `usage`. Closing it cancels the generation."""
        text = TextStream(self._tokenizer, sampling.stop)
        count = 0
        generated = self.engine.generate(prompt_ids, sampling, stop_bias=stop_bias)
        async with aclosing(generated) as drawn:  # type: ignore[type-var]
            async for piece in drawn:
                count += len(piece.tokens)
                fresh = text.push([choice.token_id for choice in piece.tokens])
                logprobs = tuple(map(self._token_logprob, piece.tokens)) if sampling.logprobs is not None else ()
                finish: Finish | None = "stop" if text.stopped else piece.finish
                if finish is None:
                    if fresh or logprobs:
                        yield Piece(fresh, logprobs=logprobs, index=index)
                    continue
                rest = text.finish()
                finish = "stop" if text.stopped else finish
                yield Piece(fresh + rest, finish, Usage(len(prompt_ids), count), logprobs, index)
                return

    async def answer(self, prompt_ids: Sequence[int], sampling: Sampling, n: int = 1) -> Answer:
        completions = await asyncio.gather(
            *(self._complete(prompt_ids, sampling.for_sample(index)) for index in range(n))
        )
        drawn = sum(count for _, count in completions)
        return Answer(
            tuple(completion for completion, _ in completions),
            Usage(len(prompt_ids), drawn),
            self.name,
            self.engine.deviations(sampling),
        )

    async def score(self, text: str, turns: Sequence[Turn], continuations: Sequence[str]) -> list[TextScore]:
        """See ScoreRequest: continuations of the text or conversation, or the text itself."""
        if turns:
            prefix = await self.chat_ids(turns)
        else:
            prefix = await self.text_ids(text)
        if not continuations:
            return [self._text_score(scores) for scores in await self.engine.score([], [prefix])]
        encoded = [self._encode(continuation, False) for continuation in continuations]
        for index, (ids, continuation) in enumerate(zip(encoded, continuations, strict=True)):
            if not ids:
                raise InvalidInput(f"continuations[{index}]", continuation, "must hold at least one token")
            self._room(prefix + ids[:-1], f"continuations[{index}]")
        return [self._text_score(scores) for scores in await self.engine.score(prefix, encoded)]

    async def verify(self) -> Verification:
        """A real generation that stopped at the end-of-turn token, by which a model shows that it works.

        A base model may never draw that token by itself. Then it is steered there, which proves that the
        engine ends a text where the token is drawn. Raises FailedPrecondition where it does not, and for
        a chat template whose turns end with a token at which no text would.
        """
        self._check_turn_end()
        turns = [Turn(role="user", content=VERIFY_PROMPT)]
        ids = await (self.chat_ids(turns) if self._tokenizer.chat_template else self.text_ids(VERIFY_PROMPT))
        sampling = Sampling(temperature=0, repetition_penalty=1, max_tokens=VERIFY_TOKENS)
        free, _ = await self._complete(ids, sampling)
        if free.finish == "stop":
            return Verification(free.text, unaided=True)
        steered, _ = await self._complete(ids, sampling, STEERING_BIAS)
        if steered.finish != "stop":
            raise FailedPrecondition(
                f"{self.name} did not stop when its end-of-turn token was drawn",
                remedy="load it with engine 'transformers', and report which engine did this",
            )
        return Verification(free.text, unaided=False)

    def _check_turn_end(self) -> None:
        """What the template writes after an answer is what training taught the model to end with."""
        if not self._tokenizer.chat_template:
            return
        turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": MARKER}]
        end = self._tokenizer.apply_chat_template(turns, tokenize=False).rpartition(MARKER)[2]
        stops = self.engine.facts.stop_ids
        if end.strip() and not stops.intersection(self._encode(end, False)):
            named = ", ".join(repr(self._tokenizer.decode([stop])) for stop in sorted(stops))
            raise FailedPrecondition(
                f"the chat template of {self.name} ends a turn with {end!r}, but a text ends at {named} only, "
                "so answers would never end",
                remedy="set eos_token_id in generation_config.json to the template's token, then register it again",
            )

    async def _complete(
        self, prompt_ids: Sequence[int], sampling: Sampling, stop_bias: float = 0.0
    ) -> tuple[Completion, int]:
        if sampling.stop:
            return await self._complete_in_pieces(prompt_ids, sampling, stop_bias)
        # Nobody looks at the text before its end: decoding it once spares the engine's processors a lot.
        choices: list[TokenChoice] = []
        finish: Finish | None = None
        generated = self.engine.generate(prompt_ids, sampling, stop_bias=stop_bias)
        async with aclosing(generated) as drawn:  # type: ignore[type-var]
            async for piece in drawn:
                choices.extend(piece.tokens)
                finish = piece.finish
        if finish is None:
            raise RuntimeError(UNFINISHED)
        text = self._tokenizer.decode([choice.token_id for choice in choices], skip_special_tokens=True)
        logprobs = tuple(map(self._token_logprob, choices)) if sampling.logprobs is not None else ()
        return Completion(text, finish, logprobs), len(choices)

    async def _complete_in_pieces(
        self, prompt_ids: Sequence[int], sampling: Sampling, stop_bias: float
    ) -> tuple[Completion, int]:
        """As streams do, so that a stop string ends the work where it comes."""
        parts: list[str] = []
        logprobs: list[TokenLogprob] = []
        async with aclosing(self.stream(prompt_ids, sampling, stop_bias=stop_bias)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                parts.append(piece.text)
                logprobs.extend(piece.logprobs)
                if piece.finish is not None and piece.usage is not None:
                    completion = Completion("".join(parts), piece.finish, tuple(logprobs))
                    return completion, piece.usage.completion_tokens
        raise RuntimeError(UNFINISHED)

    def _encode(self, text: str, whole: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=whole)["input_ids"])

    def _room(self, ids: list[int], field: str) -> list[int]:
        limit = self.engine.facts.context_length - 1
        if len(ids) > limit:
            raise InvalidInput(
                field, f"{len(ids)} tokens", f"must be at most {limit} tokens, so that room is left for output"
            )
        return ids

    def _token_logprob(self, choice: TokenChoice) -> TokenLogprob:
        alternatives = tuple(
            TokenLogprob(self._tokenizer.decode([other]), logprob) for other, logprob in choice.alternatives
        )
        return TokenLogprob(self._tokenizer.decode([choice.token_id]), choice.logprob or 0.0, alternatives)

    def _text_score(self, scores: TokenScores) -> TextScore:
        tokens = zip(scores.token_ids, scores.logprobs, strict=True)
        return TextScore(
            scores.total, tuple(TokenLogprob(self._tokenizer.decode([id_]), value) for id_, value in tokens)
        )


def stop_ids(folder: Path, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: what `generation_config.json` says, else the tokenizer's end of text."""
    path = folder / "generation_config.json"
    stated = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
    if stated is None:
        stated = tokenizer.eos_token_id
    if stated is None:
        raise FailedPrecondition(
            "the model folder names no token that ends a text",
            remedy="set eos_token_id in generation_config.json, then register the model again",
        )
    return frozenset([stated] if isinstance(stated, int) else stated)
