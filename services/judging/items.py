"""From response sets to the items that are judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.judging.protocols import Protocol
from services.judging.study import StudySpec
from services.shared.digest import digest_json
from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs
from services.shared.records import Response, Turn

MAX_RESPONSE_CHARACTERS = 1_000_000
_LISTED = 5
# Where an answer stands: prompt, which of several answers to it, which turn of it.
Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one system said at one place, after `prompt`."""

    prompt: tuple[Turn, ...]
    turns: tuple[Turn, ...]
    source: str
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The answer as one text; a conversation names its speakers."""
        if len(self.turns) == 1:
            return self.turns[0].content
        return conversation(self.turns)


@dataclass(frozen=True, slots=True)
class Item:
    """One question to judges: the answers of one or two systems at one place."""

    id: str
    prompt_id: str
    sample: int
    turn: int
    systems: tuple[str, ...]
    prompt: tuple[Turn, ...]
    answers: tuple[tuple[Turn, ...], ...]
    source: str
    tags: tuple[str, ...]
    # The draw that decides on which side people see the first system.
    first_on_a: bool

    def texts(self) -> tuple[str, ...]:
        return tuple(Answer(self.prompt, turns, "", ()).text for turns in self.answers)


def conversation(turns: Iterable[Turn]) -> str:
    """Turns as one text; a single user turn stands alone."""
    turns = list(turns)
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in turns)


def answers_of(system: str, responses: Iterable[Response], protocol: Protocol) -> dict[Place, Answer]:
    """The answers of one system by place; raises InvalidInput for duplicates and enormous responses."""
    found: dict[Place, Answer] = {}
    for response in responses:
        field = f"systems[{system}].responses_uri"
        where = (response.prompt_id, response.sample)
        if len(response.response) > MAX_RESPONSE_CHARACTERS:
            raise InvalidInput(
                field,
                f"prompt {response.prompt_id}: {len(response.response)} characters",
                f"a response must have at most {MAX_RESPONSE_CHARACTERS} characters",
            )
        for turn, answer in _answers(response, protocol):
            if (*where, turn) in found:
                raise InvalidInput(
                    field,
                    f"prompt {response.prompt_id}, sample {response.sample}",
                    "must answer each prompt once per sample",
                    remedy="remove the duplicate lines from the response set",
                )
            found[(*where, turn)] = answer
    if not found:
        raise InvalidInput(f"systems[{system}].responses_uri", "an empty file", "must hold at least one response")
    return found


def _answers(response: Response, protocol: Protocol) -> list[tuple[int, Answer]]:
    def answer(prompt: tuple[Turn, ...], turns: tuple[Turn, ...]) -> Answer:
        return Answer(prompt, turns, response.source, response.tags)

    last = Turn(role="assistant", content=response.response)
    whole = (*response.messages, last)
    if protocol is Protocol.DIALOGUE_PAIR:
        start = next((index for index, turn in enumerate(whole) if turn.role == "user"), 0) + 1
        return [(0, answer(whole[:start], whole[start:]))]
    if protocol is Protocol.DIALOGUE_TURN:
        places = [index for index, turn in enumerate(whole) if turn.role == "assistant"]
        return [(number, answer(whole[:index], (whole[index],))) for number, index in enumerate(places)]
    return [(0, answer(response.messages, (last,)))]


def make_items(spec: StudySpec, answers: Mapping[str, Mapping[Place, Answer]]) -> list[Item]:
    """Every item of a study, in a seeded order.

    Raises InvalidInputs where compared systems did not answer the same prompts.
    """
    problems = [problem for pair in spec.pairs if len(pair) == 2 for problem in _unmatched(pair, answers)]
    unknown = sorted(set(spec.human.gold) - {place[0] for places in answers.values() for place in places})
    if unknown:
        problems.append(
            FieldViolation("spec.human.gold", ", ".join(unknown[:_LISTED]), "must name prompts of the study")
        )
    if problems:
        raise InvalidInputs(problems, remedy="generate the responses of all systems from the same prompts")
    items = []
    for systems in spec.pairs:
        for place, answer in answers[systems[0]].items():
            key = [spec.name, spec.seed, list(systems), list(place)]
            items.append(
                Item(
                    id=digest_json(key)[:24],
                    prompt_id=place[0],
                    sample=place[1],
                    turn=place[2],
                    systems=systems,
                    prompt=answer.prompt,
                    answers=tuple(answers[system][place].turns for system in systems),
                    source=answer.source,
                    tags=answer.tags,
                    first_on_a=int(digest_json([*key, "side"])[:8], 16) % 2 == 0,
                )
            )
    items.sort(key=lambda item: item.id)
    random.Random(spec.seed).shuffle(items)
    return items


def _unmatched(pair: tuple[str, ...], answers: Mapping[str, Mapping[Place, Answer]]) -> list[FieldViolation]:
    first, second = (answers[name] for name in pair)
    problems = []
    for name, missing in ((pair[0], second.keys() - first.keys()), (pair[1], first.keys() - second.keys())):
        if missing:
            listed = ", ".join(sorted({place[0] for place in missing})[:_LISTED])
            problems.append(
                FieldViolation(
                    f"systems[{name}].responses_uri",
                    f"{len(missing)} prompts without a response: {listed}{' …' if len(missing) > _LISTED else ''}",
                    f"must answer the same prompts and samples as {pair[1] if name == pair[0] else pair[0]}",
                )
            )
    differing = sorted(
        place[0] for place in first.keys() & second.keys() if first[place].prompt != second[place].prompt
    )
    if differing:
        problems.append(
            FieldViolation(
                f"systems[{pair[1]}].responses_uri",
                ", ".join(differing[:_LISTED]),
                f"these prompt ids must stand for the same text as in {pair[0]}",
            )
        )
    return problems


def empty_answers(items: Iterable[Item]) -> Counter[str]:
    """How many empty answers each system gave."""
    return Counter(
        system for item in items for system, text in zip(item.systems, item.texts(), strict=True) if not text.strip()
    )
