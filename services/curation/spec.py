"""What to build, checked and with every default written out. Field names are those of lima.curation.v1.DatasetSpec.

spec = parse_spec({"name": "lima", "sources": [...]})    # raises InvalidInputs that name each wrong field
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.curation.filters import CROSS_REFERENCES, FIRST_PERSON, phrase_filter
from services.curation.sources.authored import Authored
from services.curation.sources.dialogue import Dialogue
from services.curation.sources.existing import Existing
from services.curation.sources.natural_instructions import GENERATION_CATEGORIES, NaturalInstructions
from services.curation.sources.reddit import Reddit
from services.curation.sources.source import Source
from services.curation.sources.stack_exchange import StackExchange
from services.curation.sources.wikihow import PRUNED_SECTIONS, Wikihow
from services.shared.errors import FieldViolation, InvalidInputs, show

Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
Characters = Annotated[int, Field(ge=0, le=1_000_000)]
Votes = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Words = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(max_length=2000)]
KINDS = ("stack_exchange", "wikihow", "reddit", "natural_instructions", "authored", "dialogue", "existing")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _phrases(value: tuple[str, ...]) -> tuple[str, ...]:
    phrase_filter(value)
    return value


class Quota(Section):
    train: int = Field(0, ge=0, le=10_000_000)
    dev: int = Field(0, ge=0, le=1_000_000)
    test: int = Field(0, ge=0, le=1_000_000)
    allow_fewer: bool = False

    @property
    def total(self) -> int:
        return self.train + self.dev + self.test


class _Between(Section):
    min_characters: Characters
    max_characters: Characters

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_characters > self.max_characters:
            raise ValueError(f"min_characters {self.min_characters} is more than max_characters {self.max_characters}")
        return self


class StackExchangeSpec(_Between):
    group: Literal["stem", "other", "any"] = "any"
    temperature: float = Field(3.0, ge=0.1, le=1000, allow_inf_nan=False)
    min_answer_score: Votes = 10
    min_characters: Characters = 1200
    max_characters: Characters = 4096
    filtered: bool = True
    title_probability: float = Field(0.5, ge=0, le=1)
    first_person: Annotated[Words, AfterValidator(_phrases)] = FIRST_PERSON
    cross_references: Annotated[Words, AfterValidator(_phrases)] = CROSS_REFERENCES
    exchanges: Words = ()

    def source(self, seed: int) -> Source:
        return StackExchange(**self.model_dump(), seed=seed)


class WikihowSpec(Section):
    pruned_sections: Words = PRUNED_SECTIONS

    def source(self, seed: int) -> Source:
        return Wikihow(self.pruned_sections)


class RedditSpec(_Between):
    subreddit: Literal["AskReddit", "WritingPrompts"]
    min_score: Votes = 10
    min_characters: Characters = 400
    max_characters: Characters = 8192
    prompts_only: bool = False

    def source(self, seed: int) -> Source:
        return Reddit(**self.model_dump())


class NaturalInstructionsSpec(Section):
    categories: Words = GENERATION_CATEGORIES

    def source(self, seed: int) -> Source:
        return NaturalInstructions(self.categories, seed)


class AuthoredSpec(Section):
    group: Literal["A", "B", ""] = ""
    tags: Words = ()

    def source(self, seed: int) -> Source:
        return Authored(self.group, self.tags)


class DialogueSpec(Section):
    origin: Literal["authored", "stack_exchange_comments"] = "authored"
    min_turns: int = Field(2, ge=1, le=100)

    def source(self, seed: int) -> Source:
        return Dialogue(self.origin, self.min_turns)


class ExistingSpec(Section):
    format: Literal["messages", "lima", "sharegpt", "alpaca", "prompt", "question", ""] = ""

    def source(self, seed: int) -> Source:
        return Existing(self.format)


class SourceSpec(Section):
    name: Name
    corpus: Name
    quota: Quota
    stack_exchange: StackExchangeSpec | None = None
    wikihow: WikihowSpec | None = None
    reddit: RedditSpec | None = None
    natural_instructions: NaturalInstructionsSpec | None = None
    authored: AuthoredSpec | None = None
    dialogue: DialogueSpec | None = None
    existing: ExistingSpec | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"must hold exactly one of {', '.join(KINDS)}; it holds {', '.join(kinds) or 'none'}")
        if not self.quota.total:
            raise ValueError("quota must ask for at least one example")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def source(self, seed: int) -> Source:
        section = getattr(self, self.kind)
        if self.reddit and not self.quota.train + self.quota.dev:
            # Test examples are prompts: a premise without a reply serves as well.
            section = self.reddit.model_copy(update={"prompts_only": True})
        made: Source = section.source(seed)
        return made


class Dedup(Section):
    enabled: bool = True
    threshold: float = Field(0.7, ge=0.3, le=1.0)
    permutations: int = Field(128, ge=16, le=512, multiple_of=16)


class Decontamination(Section):
    enabled: bool = True
    benchmark_corpora: tuple[Name, ...] = ()


class Pii(Section):
    enabled: bool = False
    action: Literal["drop", "mask"] = "drop"


class Review(Section):
    required: bool = False
    overlap: int = Field(1, ge=1, le=20)
    pool: int = Field(3, ge=1, le=100)


class DatasetSpec(Section):
    name: Name
    seed: int = Field(0, ge=0, lt=1 << 63)
    sources: tuple[SourceSpec, ...] = Field(min_length=1, max_length=100)
    dedup: Dedup = Dedup()
    decontamination: Decontamination = Decontamination()
    pii: Pii = Pii()
    review: Review = Review()
    max_malformed: int = Field(100, ge=0, le=1_000_000)

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [source.name for source in self.sources]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources must have different names; repeated: {', '.join(repeated)}")
        return self

    def corpora(self) -> list[str]:
        """Names of every corpus that the build reads."""
        return sorted({source.corpus for source in self.sources} | set(self.decontamination.benchmark_corpora))


def parse_spec(value: dict[str, Any]) -> DatasetSpec:
    """A spec from the JSON form of the protobuf message. An empty list or group stands for the default."""
    try:
        return DatasetSpec.model_validate(_without_empty(value))
    except ValidationError as error:
        violations = [
            FieldViolation(
                ".".join(["spec", *map(str, problem["loc"])]),
                "" if problem["type"] == "missing" else show(problem["input"]),
                problem["msg"].removeprefix("Value error, "),
            )
            for problem in error.errors(include_url=False)
        ]
        raise InvalidInputs(
            violations, remedy="Correct the fields named, in the dataset section of the file."
        ) from None


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(inner) for key, inner in value.items() if inner not in ("", [])}
    if isinstance(value, list):
        return [_without_empty(inner) for inner in value]
    return value
