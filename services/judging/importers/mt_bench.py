"""MT-Bench: `model_judgment` (single scores, pairs in both orders, people's votes) and `model_answer` files."""

from __future__ import annotations

from dataclasses import replace

from services.judging.importers.source import BadRecord, Entry, Record
from services.judging.verdicts import State, Verdict
from services.shared.records import Response, Turn


def verdicts(record: Record) -> list[Entry]:
    if "g1_winner" in record.values:
        return _pair(record)
    if "winner" in record.values:
        return [_vote(record)]
    return [_single(record)]


def _pair(record: Record) -> list[Entry]:
    """Game 1 shows model_1 on side A, game 2 model_2; "error" is a reply that was not parsed."""
    systems = record.get("model_1", str), record.get("model_2", str)
    return [
        Entry(
            _verdict(
                record,
                systems,
                _preference(record.get(f"{game}_winner", str), {"model_1": 1.0, "model_2": 0.0}),
                first_on_a=game == "g1",
                reasoning=record.optional(f"{game}_judgment", str, ""),
            )
        )
        for game in ("g1", "g2")
    ]


def _vote(record: Record) -> Entry:
    """A person's vote; model_a stood on side A."""
    systems = record.get("model_a", str), record.get("model_b", str)
    preference = _preference(record.get("winner", str), {"model_a": 1.0, "model_b": 0.0})
    return Entry(_verdict(record, systems, preference))


def _single(record: Record) -> Entry:
    score = record.number("score")
    if score is None:
        raise BadRecord("must hold score, winner, or g1_winner and g2_winner")
    usable = score >= 0
    verdict = _verdict(record, (record.get("model", str),), None, reasoning=record.optional("judgment", str, ""))
    state = State.OK if usable else State.UNPARSABLE
    return Entry(replace(verdict, state=state, scores=(score,) if usable else ()))


def _preference(winner: str, sides: dict[str, float]) -> float | None:
    if winner.startswith("tie"):
        return 0.5
    if winner == "error":
        return None
    if winner not in sides:
        raise BadRecord(f"a winner must be tie, error or one of {', '.join(sides)}, got {winner[:50]!r}")
    return sides[winner]


def _verdict(
    record: Record,
    systems: tuple[str, ...],
    preference: float | None,
    *,
    first_on_a: bool = True,
    reasoning: str = "",
) -> Verdict:
    judge = record.values.get("judge")
    name = "/".join(map(str, judge)) if isinstance(judge, list) else str(judge or "mt-bench")
    human = name.startswith(("expert", "author")) or "human" in name
    turn = record.number("turn") or 1
    return Verdict(
        prompt_id=record.identifier("question_id"),
        systems=systems,
        judge=name[:100],
        judge_kind="human" if human else "llm",
        state=State.OK if preference is not None else State.UNPARSABLE,
        preference=preference,
        first_on_a=first_on_a,
        turn=int(turn) - 1,
        reasoning=reasoning,
    )


def responses(record: Record, prompts: dict[str, tuple[str, ...]]) -> list[tuple[str, Response]]:
    """Each choice is a conversation: the turns of the question from `prompts`, answered one by one."""
    question, model = record.identifier("question_id"), record.get("model_id", str)
    asked = prompts.get(question, ())
    found = []
    for choice in record.get("choices", list):
        turns = choice.get("turns") if isinstance(choice, dict) else None
        if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
            raise BadRecord("each of choices must hold turns, a list of texts")
        index = choice.get("index", 0)
        sample = index if isinstance(index, int) and index >= 0 else 0
        found.append((model, _response(question, model, asked, turns, sample)))
    return found


def _response(prompt_id: str, model: str, asked: tuple[str, ...], turns: list[str], sample: int) -> Response:
    messages: list[Turn] = []
    for number, prompt in enumerate(asked[: len(turns)]):
        if number:
            messages.append(Turn(role="assistant", content=turns[number - 1]))
        messages.append(Turn(role="user", content=prompt))
    return Response(
        prompt_id=prompt_id,
        sample=sample,
        messages=tuple(messages),
        response=turns[-1],
        model=model,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
    )
