"""FastChat's Vicuna benchmark: `review_*.jsonl` (two scores per question) and `answer_*.jsonl`."""

from __future__ import annotations

from services.judging.importers.source import BadRecord, Entry, Record, number
from services.judging.verdicts import State, Verdict
from services.shared.records import Response, Turn


def verdicts(record: Record, systems: tuple[str, ...]) -> list[Entry]:
    """The higher score wins. A score of -1 is how the reviewer's unparsed replies were marked."""
    scores = record.get("score", list)
    if len(scores) != 2:
        raise BadRecord(f"score must hold two numbers, got {len(scores)}")
    first, second = (number(score, "score") for score in scores)
    parsed = first is not None and second is not None and first >= 0 and second >= 0
    verdict = Verdict(
        prompt_id=record.identifier("question_id"),
        systems=systems or ("answer1", "answer2"),
        judge=f"reviewer-{record.values.get('reviewer_id', 1)}"[:100],
        judge_kind="llm",
        state=State.OK if parsed else State.UNPARSABLE,
        preference=_preference(first, second) if parsed and first is not None and second is not None else None,
        scores=(first, second) if parsed and first is not None and second is not None else (),
        reasoning=record.optional("text", str, ""),
    )
    return [Entry(verdict)]


def _preference(first: float, second: float) -> float:
    return 0.5 if first == second else float(first > second)


def responses(record: Record, prompts: dict[str, tuple[str, ...]]) -> list[tuple[str, Response]]:
    """`prompts` are the questions by id, from `question.jsonl`."""
    question = record.identifier("question_id")
    turns = prompts.get(question, ())
    model = record.optional("model_id", str, "") or "vicuna"
    return [
        (
            model,
            Response(
                prompt_id=question,
                messages=tuple(Turn(role="user", content=turn) for turn in turns[:1]),
                response=record.get("text", str),
                model=model,
                finish_reason="stop",
                prompt_tokens=0,
                completion_tokens=0,
            ),
        )
    ]
