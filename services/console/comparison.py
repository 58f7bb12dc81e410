"""Two conversations from the chat page as a study of one item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lima.judging.v1 import judging_pb2, study_pb2
from services.console.backends import WRITE_SECONDS, Backends
from services.shared.digest import digest_json
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.records import Response, Turn


@dataclass(frozen=True)
class Conversation:
    """What a person said to one model and what it said, as (role, content) turns."""

    model: str
    turns: Sequence[tuple[str, str]]


async def compare(backends: Backends, first: Conversation, second: Conversation) -> str:
    """Creates the study and returns its name. The same two conversations give the same study."""
    for conversation in (first, second):
        if not conversation.turns or conversation.turns[-1][0] != "assistant":
            raise InvalidInput("messages", len(conversation.turns), "must end with the model's answer")
    digest = digest_json([[one.model, [list(turn) for turn in one.turns]] for one in (first, second)])
    names = _system_names(first.model, second.model)
    uris = [
        await asyncio.to_thread(_put_responses, backends.store, digest, side, conversation)
        for side, conversation in zip("ab", (first, second), strict=True)
    ]
    dialogue = any(len(one.turns) > 2 for one in (first, second))
    spec = study_pb2.StudySpec(
        name=f"chat-{digest[:16]}",
        protocol=study_pb2.PROTOCOL_DIALOGUE_PAIR if dialogue else study_pb2.PROTOCOL_PAIRWISE,
        systems=[study_pb2.System(name=name, responses_uri=uri) for name, uri in zip(names, uris, strict=True)],
        human=study_pb2.HumanSpec(overlap=1),
    )
    study = await backends.judging.CreateStudy(
        judging_pb2.CreateStudyRequest(spec=spec, request_id=f"chat-{digest[:32]}"), timeout=WRITE_SECONDS
    )
    return str(study.name)


def _system_names(first: str, second: str) -> tuple[str, str]:
    """The models' names, told apart where one model answered twice."""
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


def _put_responses(store: ObjectStore, digest: str, side: str, conversation: Conversation) -> str:
    turns = tuple(Turn.model_validate({"role": role, "content": content}) for role, content in conversation.turns)
    response = Response(
        prompt_id=f"chat-{digest[:16]}",
        source="chat",
        messages=turns[:-1],
        response=turns[-1].content,
        model=conversation.model,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
    )
    key = f"responses/{digest}-{side}.jsonl"
    store.put_bytes(key, (response.model_dump_json() + "\n").encode())
    return store.uri(key)
