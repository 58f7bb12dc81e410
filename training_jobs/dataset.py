"""Conversations to token sequences: which tokens are targets, what is cut, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy
import numpy.typing
from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase

from services.shared.errors import FailedPrecondition, InvalidInput
from services.shared.records import Example
from training_jobs.spec import Recipe

MAX_LINE_BYTES = 16 << 20


@dataclass(frozen=True)
class Sequence:
    """One tokenised conversation.

    Attributes:
        tokens: [length] int32.
        is_target: [length] bool; True where the token is predicted and counted. The first never is.
        cut: tokens that the length limit took from the end.
    """

    id: str
    tokens: numpy.typing.NDArray[numpy.int32]
    is_target: numpy.typing.NDArray[numpy.bool_]
    cut: int

    @property
    def targets(self) -> int:
        return int(self.is_target.sum())


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of a JSONL file.

    Raises InvalidInput with the line's number for a line that is too long or is not an Example.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if len(line) > MAX_LINE_BYTES:
                raise InvalidInput(f"{path.name}:{number}", len(line), f"a line must be under {MAX_LINE_BYTES} bytes")
            if not line.strip():
                continue
            try:
                yield Example.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ":".join(
                    [f"{path.name}:{number}", *([".".join(map(str, first["loc"]))] if first["loc"] else [])]
                )
                raise InvalidInput(
                    where, first["input"], first["msg"], "mend that line: each is one example in JSON"
                ) from None


class Encoder:
    """Tokenises conversations through the checkpoint's own chat template, so serving sees what training saw."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> None:
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._end = cast(int, tokenizer.eos_token_id)

    def encode(self, example: Example) -> Sequence:
        """Raises InvalidInput for a turn that holds EOT itself, or where no assistant turn ends in the loss."""
        token = self._recipe.end_of_turn.token
        for index, turn in enumerate(example.messages):
            if token in turn.content:
                raise InvalidInput(
                    f"{example.id}.messages[{index}].content",
                    token,
                    "must not contain the end-of-turn token",
                    "leave it out, or choose another recipe.end_of_turn.token",
                )
        if not any(turn.role == "assistant" for turn in example.messages):
            raise InvalidInput(
                f"{example.id}.messages",
                "no assistant turn",
                "must hold at least one assistant turn",
                "give the example a response, or leave it out",
            )
        text = self._tokenizer.apply_chat_template([turn.model_dump() for turn in example.messages], tokenize=False)
        tokens = numpy.asarray(self._tokenizer(text, add_special_tokens=False)["input_ids"], dtype=numpy.int32)
        is_target = self._targets(example, tokens)
        limit = self._recipe.max_length
        sequence = Sequence(example.id, tokens[:limit], is_target[:limit], max(len(tokens) - limit, 0))
        if not sequence.targets:
            raise InvalidInput(
                example.id,
                f"{len(tokens)} tokens",
                f"nothing of its responses is left within recipe.max_length = {limit}",
                "shorten its prompt, raise the limit, or leave it out",
            )
        return sequence

    def _targets(
        self, example: Example, tokens: numpy.typing.NDArray[numpy.int32]
    ) -> numpy.typing.NDArray[numpy.bool_]:
        ends = numpy.flatnonzero(tokens == self._end)
        if len(ends) != len(example.messages):
            raise FailedPrecondition(
                f"{example.id}: {len(example.messages)} turns, but {len(ends)} end-of-turn tokens",
                "the tokenizer does not keep the token whole: report this model",
            )
        if self._recipe.loss_on == "all":
            is_target = numpy.ones(len(tokens), dtype=numpy.bool_)
        else:
            is_target = numpy.zeros(len(tokens), dtype=numpy.bool_)
            starts = [0, *(ends[:-1] + 1)]
            for turn, start, end in zip(example.messages, starts, ends, strict=True):
                if turn.role == "assistant":
                    is_target[start : end + 1] = True
        is_target[0] = False
        return is_target


@dataclass(frozen=True)
class Corpus:
    """A tokenised split and what the limit took from it."""

    sequences: tuple[Sequence, ...]

    @property
    def lengths(self) -> list[int]:
        return [len(sequence.tokens) for sequence in self.sequences]

    def summary(self) -> dict[str, int]:
        """Counts that are recorded with the run."""
        return {
            "examples": len(self.sequences),
            "tokens": sum(self.lengths),
            "target_tokens": sum(sequence.targets for sequence in self.sequences),
            "cut_examples": sum(1 for sequence in self.sequences if sequence.cut),
            "cut_tokens": sum(sequence.cut for sequence in self.sequences),
        }


def encode_split(path: Path, encoder: Encoder, *, limit: int | None = None, optional: bool = False) -> Corpus:
    """Tokenise a JSONL split; with `optional`, examples without a response are passed over.

    Raises InvalidInput for a split that is empty or absent and not optional.
    """
    if not optional and not path.is_file():
        raise InvalidInput(
            "dataset", str(path.parent), f"must hold {path.name}", "name the folder of a dataset, or build it again"
        )
    sequences = []
    seen: set[str] = set()
    if path.is_file():
        for example in read_examples(path):
            if example.id in seen:
                raise InvalidInput(f"{path.name}.id", example.id, "must be unique in its split", "rename or drop one")
            seen.add(example.id)
            if optional and example.messages[-1].role != "assistant":
                continue
            sequences.append(encoder.encode(example))
            if limit is not None and len(sequences) >= limit:
                break
    if not sequences and not optional:
        raise InvalidInput("dataset", str(path), "must hold at least one example", "build the dataset again")
    return Corpus(tuple(sequences))
