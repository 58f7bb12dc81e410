"""How a judge is asked: the question, its name in the cache, and the port to the inference service."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from services.judging.items import Item, conversation
from services.judging.protocols import Rules
from services.judging.replies import reply_schema
from services.judging.study import Judge, StudySpec
from services.judging.templates import render, reply_form, verdict_tokens
from services.shared.digest import digest_json
from services.shared.records import Turn

# Several verdicts on the same question differ only if the judge is sampled.
DRAW_TEMPERATURE = 0.7


@dataclass(frozen=True)
class Question:
    """Everything that decides an answer, so that equal questions have equal keys.

    `continuations` asks for their log-likelihoods instead of a reply; `schema` is a JSON schema.
    """

    model: str
    messages: tuple[Turn, ...]
    temperature: float
    seed: int
    max_tokens: int
    schema: str = ""
    continuations: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        return digest_json(
            {
                "model": self.model,
                "messages": [[turn.role, turn.content] for turn in self.messages],
                "temperature": self.temperature,
                "seed": self.seed,
                "max_tokens": self.max_tokens,
                "schema": self.schema,
                "continuations": list(self.continuations),
            }
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said; `logprobs` follows the question's continuations."""

    text: str
    logprobs: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    deviations: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The exact version behind a model's name, and whether its endpoint can follow a schema."""

    name: str
    structured: bool


class Inference(Protocol):
    """The one place that speaks to models. Raises services.shared errors."""

    async def resolve(self, model: str) -> ResolvedModel: ...

    async def ask(self, question: Question) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One verdict to be had: an item, in one order, one draw of it."""

    item: Item
    first_on_a: bool
    draw: int


def orders_and_draws(spec: StudySpec, judge: Judge, samples: int) -> tuple[int, int]:
    """How often a judge is asked about one item.

    The protocol's samples are the answers to a prompt; where there is one answer, it is judged that often.
    """
    orders = 2 if spec.rules.pairwise and judge.both_orders else 1
    return orders, judge.samples or max(1, spec.rules.samples // samples)


def asks_of(spec: StudySpec, judge: Judge, items: list[Item]) -> list[Ask]:
    """Every verdict that a judge owes; both orders of an item come one after the other."""
    orders, draws = orders_and_draws(spec, judge, len({item.sample for item in items}) or 1)
    single = spec.rules.pairwise and orders == 1
    return [
        Ask(item, item.first_on_a if single else order == 0, draw)
        for item in items
        for draw in range(draws)
        for order in range(orders)
    ]


def question(spec: StudySpec, judge: Judge, model: ResolvedModel, ask: Ask, draws: int) -> Question:
    """The first question of an ask."""
    rules = spec.rules
    texts = ask.item.texts()
    structured = model.structured and not judge.use_logprobs
    text = render(
        spec.template or rules.template,
        rules,
        conversation(ask.item.prompt),
        texts if ask.first_on_a else texts[::-1],
        reply_form(rules, structured=structured, logprobs=judge.use_logprobs),
    )
    return Question(
        model=model.name,
        messages=(Turn(role="user", content=text),),
        temperature=0.0 if draws == 1 else DRAW_TEMPERATURE,
        seed=(spec.seed + ask.draw) % 2**63,
        max_tokens=judge.max_tokens,
        schema=reply_schema(rules) if structured else "",
        continuations=verdict_tokens(rules) if judge.use_logprobs else (),
    )


def reminded(asked: Question, reply: str, rules: Rules) -> Question:
    """The question after a reply without a verdict: the conversation so far, asked to keep to the form.

    It grows with each try, so that no try is answered from the cache of the one before.
    """
    reminder = (
        "Your reply held no verdict in the form asked for. Reply with that line alone, for example:\n"
        f"Verdict: {rules.choices[0]}"
    )
    messages = (
        *asked.messages,
        Turn(role="assistant", content=reply[:4000]),
        Turn(role="user", content=reminder),
    )
    return Question(asked.model, messages, asked.temperature, asked.seed, asked.max_tokens)
