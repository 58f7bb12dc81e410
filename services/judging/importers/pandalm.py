"""PandaLM's test set: pairs of responses with three people's labels, and files of LLM judges' labels."""

from __future__ import annotations

from services.judging.importers.source import BadRecord, Entry, Record
from services.judging.verdicts import State, Verdict
from services.shared.records import Response, Turn

SYSTEMS = ("response1", "response2")
_PEOPLE = ("annotator1", "annotator2", "annotator3")
_LABELS = {"0": 0.5, "1": 1.0, "2": 0.0, "tie": 0.5}


def verdicts(record: Record) -> list[Entry]:
    """Labels are 0 or "Tie", 1 and 2; anything else that a judge said is unparsable."""
    prompt_id = record.identifier("idx")
    people = [name for name in _PEOPLE if name in record.values]
    judges = [key.removesuffix("_result") for key in record.values if key.endswith("_result")]
    if not people and not judges:
        raise BadRecord("must hold annotator1 to annotator3, or a judge's <name>_result")
    entries = []
    for name in people:
        label = str(record.values[name]).strip().lower()
        if label not in _LABELS:
            raise BadRecord(f"{name} must be 0, 1 or 2, got {label[:50]!r}")
        entries.append(Entry(Verdict(prompt_id, SYSTEMS, name, "human", preference=_LABELS[label]), _prompt(record)))
    for name in judges:
        preference = _LABELS.get(str(record.values[f"{name}_result"]).strip().lower())
        verdict = Verdict(
            prompt_id,
            SYSTEMS,
            name,
            "llm",
            state=State.UNPARSABLE if preference is None else State.OK,
            preference=preference,
            reasoning=record.optional(f"{name}_reason", str, ""),
        )
        entries.append(Entry(verdict, _prompt(record)))
    return entries


def responses(record: Record) -> list[tuple[str, Response]]:
    """Both answers of a pair; which model gave which differs from prompt to prompt and stands in the tags."""
    prompt_id = record.identifier("idx")
    models = record.optional("cmp_key", str, "_").partition("_")
    return [
        (
            system,
            Response(
                prompt_id=prompt_id,
                source=record.optional("motivation_app", str, ""),
                messages=(Turn(role="user", content=_prompt(record)),),
                response=_answer(record, system),
                model=model,
                finish_reason="stop",
                prompt_tokens=0,
                completion_tokens=0,
                tags=(model,) if model else (),
            ),
        )
        for system, model in zip(SYSTEMS, (models[0], models[2]), strict=True)
    ]


def _answer(record: Record, system: str) -> str:
    """The answer; the published file holds short answers such as True and 3 as JSON values of their own."""
    value = record.values.get(system)
    return str(value) if isinstance(value, bool | int | float) else record.get(system, str)


def _prompt(record: Record) -> str:
    parts = (record.optional("instruction", str, ""), record.optional("input", str, ""))
    return "\n\n".join(part for part in parts if part)
