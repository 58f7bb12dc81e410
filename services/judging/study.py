"""What a study is asked to be: prompts x systems x a protocol x judges."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.judging.protocols import RULES, Protocol, Rules
from services.judging.templates import check_template
from services.judging.verdicts import Verdict, preference_of_side
from services.shared.digest import digest_json
from services.shared.errors import FieldViolation, InvalidInputs, show

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class System(Part):
    """One way of answering; annotators never see its name."""

    name: Name
    responses_uri: Annotated[str, Field(min_length=1, max_length=2000)]


class Judge(Part):
    """An LLM judge: a model as the inference service knows it, and how it is asked."""

    name: Name
    model: Annotated[str, Field(min_length=1, max_length=300)]
    both_orders: bool = True
    use_logprobs: bool = False
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 4
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    # 0 takes the protocol's own number.
    samples: Annotated[int, Field(ge=0, le=100)] = 0
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 512


class Human(Part):
    overlap: Annotated[int, Field(ge=1, le=100)] = 1
    gold: dict[str, str] = {}
    lease_seconds: Annotated[int, Field(ge=10, le=7 * 86400)] = 1800
    groups: dict[str, str] = {}

    def group(self, annotator: str) -> str:
        return self.groups.get(annotator, "crowd")


class Limits(Part):
    """0 means no limit."""

    max_cost_usd: Annotated[float, Field(ge=0)] = 0.0
    max_tokens: Annotated[int, Field(ge=0)] = 0
    max_seconds: Annotated[int, Field(ge=0)] = 0


class Selection(Part):
    """The run whose checkpoint the study picks, and the window of epochs it picks from."""

    run: Annotated[str, Field(pattern=r"^runs/[a-z0-9][a-z0-9-]*$")]
    first_epoch: Annotated[int, Field(ge=1)] = 5
    last_epoch: Annotated[int, Field(ge=1)] = 10


class StudySpec(Part):
    name: str
    protocol: Protocol
    systems: Annotated[tuple[System, ...], Field(min_length=1, max_length=100)]
    judges: Annotated[tuple[Judge, ...], Field(max_length=20)] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    template: Annotated[str, Field(max_length=20_000)] = ""
    human: Human = Human()
    limits: Limits = Limits()
    selection: Selection | None = None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate values from outside; raises InvalidInputs that names every wrong field."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInputs(
                [
                    FieldViolation(
                        ".".join(["spec", *map(str, problem["loc"])]),
                        show(problem["input"]),
                        problem["msg"].removeprefix("Value error, "),
                    )
                    for problem in error.errors(include_url=False)
                ]
            ) from None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise ValueError("name must be 1 to 63 characters of [a-z0-9-] and neither begin nor end with a hyphen")
        for what, names in (
            ("systems", [system.name for system in self.systems]),
            ("judges", [judge.name for judge in self.judges]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} must have different names, but {', '.join(twice)} occurs twice")
        if self.rules.pairwise and len(self.systems) < 2:
            raise ValueError(f"{self.protocol} compares systems and needs at least two of them")
        wrong = sorted({answer for answer in self.human.gold.values() if answer not in self.gold_answers})
        if wrong:
            raise ValueError(f"human.gold answers must be among {', '.join(self.gold_answers)}, not {', '.join(wrong)}")
        if self.template:
            check_template(self.template, self.rules.sides)
        return self

    @property
    def rules(self) -> Rules:
        return RULES[self.protocol]

    @property
    def gold_answers(self) -> tuple[str, ...]:
        """Gold answers of comparisons name the outcome for the first system, because sides are drawn."""
        return ("win", "tie", "lose") if self.rules.pairwise else self.rules.choices

    @property
    def pairs(self) -> list[tuple[str, ...]]:
        """The comparisons, first system against each other one; or each system alone.

        A selection compares every epoch with every other: against one opponent alone, all that lose look equal.
        """
        names = [system.name for system in self.systems]
        if self.rules.pairwise and self.selection:
            return list(combinations(names, 2))
        return [(names[0], other) for other in names[1:]] if self.rules.pairwise else [(name,) for name in names]

    def gold_correct(self, prompt_id: str, answer: str) -> bool | None:
        """Whether an answer ("win", "fail", ...) to a gold prompt is right; None for other prompts."""
        return self.human.gold[prompt_id] == answer if prompt_id in self.human.gold else None

    def digest(self) -> str:
        """Names the study's inputs: equal specs over equal (content-addressed) responses are one study."""
        return digest_json(self.model_dump(mode="json"))


def judged(spec: StudySpec, verdict: Verdict, choice: str) -> Verdict:
    """The verdict with what a judge chose, mapped from sides to systems and checked against gold."""
    rules = spec.rules
    if rules.pairwise:
        verdict = replace(verdict, preference=preference_of_side(choice, verdict.first_on_a))
        answer = str(verdict.choice)
    else:
        verdict = replace(verdict, label=choice, scores=(rules.scores[rules.choices.index(choice)],))
        answer = choice
    return replace(verdict, gold_correct=spec.gold_correct(verdict.prompt_id, answer))
