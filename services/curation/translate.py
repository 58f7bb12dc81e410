"""Between protobuf messages and the plain values of the domain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from lima.common.v1 import message_pb2
from lima.curation.v1 import authoring_pb2, curation_pb2, review_pb2, spec_pb2
from services.curation.authoring import Draft, QuotaLine
from services.curation.corpora import CorpusInfo
from services.curation.funnel import Funnel
from services.curation.review import Decision, Progress, Queued, QueueInfo, Review
from services.curation.spec import DatasetSpec, parse_spec
from services.curation.style import StyleReport, style_report
from services.shared.errors import InvalidInput
from services.shared.records import Attribution, Example, Turn

# Of one fact of an attribution, in characters.
MAX_FACT = 2000
ROLES = ("system", "user", "assistant")
DECISIONS: dict[int, Decision] = {
    review_pb2.DECISION_ACCEPT: "accept",
    review_pb2.DECISION_REJECT: "reject",
    review_pb2.DECISION_EDIT: "edit",
    review_pb2.DECISION_SKIP: "skip",
}
DECISION_NUMBERS: dict[Decision, Any] = {name: number for number, name in DECISIONS.items()}


def spec_from(message: spec_pb2.DatasetSpec) -> DatasetSpec:
    value: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    for source in value.get("sources", []):
        # A quota of nothing but zeros is absent from the JSON form.
        source.setdefault("quota", {})
    return parse_spec(value)


def spec_to(spec: DatasetSpec | Mapping[str, Any]) -> spec_pb2.DatasetSpec:
    value = spec.model_dump(mode="json", exclude_none=True) if isinstance(spec, DatasetSpec) else dict(spec)
    return ParseDict(value, spec_pb2.DatasetSpec(), ignore_unknown_fields=True)


def timestamp(when: datetime | float) -> Timestamp:
    moment = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def turns_from(messages: Iterable[message_pb2.Message], field: str) -> tuple[Turn, ...]:
    turns = []
    for place, message in enumerate(messages):
        if message.role not in ROLES:
            raise InvalidInput(f"{field}[{place}].role", message.role, f"must be one of {', '.join(ROLES)}")
        turns.append(Turn.model_validate({"role": message.role, "content": message.content}))
    return tuple(turns)


def turns_to(turns: Iterable[Turn]) -> list[message_pb2.Message]:
    return [message_pb2.Message(role=turn.role, content=turn.content) for turn in turns]


def attribution_to(attribution: Attribution) -> message_pb2.Attribution:
    return message_pb2.Attribution(**attribution.model_dump())


def attribution_from(message: message_pb2.Attribution) -> Attribution:
    return Attribution(
        url=message.url[:MAX_FACT],
        author=message.author[:MAX_FACT],
        licence=message.licence[:MAX_FACT],
        title=message.title[:MAX_FACT],
        created=message.created[:MAX_FACT],
    )


def example_to(example: Example) -> message_pb2.Example:
    return message_pb2.Example(
        id=example.id,
        source=example.source,
        split=example.split,
        messages=turns_to(example.messages),
        attribution=attribution_to(example.attribution),
        tags=example.tags,
        provenance_json=json.dumps(example.provenance, ensure_ascii=False, sort_keys=True),
    )


def corpus_to(info: CorpusInfo) -> curation_pb2.Corpus:
    return curation_pb2.Corpus(
        name=f"corpora/{info.name}",
        digest=info.digest,
        uri=info.uri,
        file_count=info.file_count,
        size_bytes=info.size_bytes,
        create_time=timestamp(info.created),
    )


def dataset_to(manifest: Mapping[str, Any], uri: str) -> curation_pb2.Dataset:
    return curation_pb2.Dataset(
        name=f"datasets/{manifest['name']}/{manifest['digest']}",
        digest=manifest["digest"],
        uri=uri,
        split_counts=manifest["split_counts"],
        source_counts=manifest["source_counts"],
        create_time=timestamp(datetime.fromisoformat(manifest["created"])),
        spec=spec_to(manifest["spec"]),
        statistics=[curation_pb2.SourceStatistics(**row) for row in manifest["statistics"]],
        diversity=manifest["diversity"],
        diversity_metric=manifest["diversity_metric"],
    )


def funnel_to(funnels: Mapping[str, Funnel]) -> curation_pb2.Funnel:
    return curation_pb2.Funnel(sources=[_funnel_source(name, funnel) for name, funnel in funnels.items()])


def _funnel_source(name: str, funnel: Funnel) -> curation_pb2.FunnelSource:
    steps, entered = [], funnel.entered
    for step in funnel.steps:
        samples = [
            curation_pb2.FunnelSample(candidate_id=sample.candidate_id, excerpt=sample.excerpt, reason=sample.reason)
            for sample in step.samples
        ]
        steps.append(
            curation_pb2.FunnelStep(filter=step.filter, entered=entered, removed=step.removed, samples=samples)
        )
        entered -= step.removed
    if funnel.malformed_count:
        found = [
            curation_pb2.FunnelSample(candidate_id=f"{item.file}:{item.offset}", reason=item.reason)
            for item in funnel.malformed
        ]
        total = funnel.entered + funnel.malformed_count
        steps.insert(
            0, curation_pb2.FunnelStep(filter="malformed", entered=total, removed=funnel.malformed_count, samples=found)
        )
    return curation_pb2.FunnelSource(source=name, steps=steps)


def lineage_to(example: Example) -> curation_pb2.Lineage:
    told = example.provenance
    steps = [curation_pb2.LineageStep(step=step.partition(";")[0], detail=step) for step in told.get("steps", [])]
    chosen = f"drawn for {example.split} from {told.get('stratum', '')}, score {told.get('score', 0)}"
    return curation_pb2.Lineage(
        example=example_to(example),
        corpus=f"corpora/{told['corpus']}",
        corpus_digest=told["corpus_digest"],
        file=told["file"],
        offset=told["offset"],
        row_id=told["row_id"],
        steps=[*steps, curation_pb2.LineageStep(step="chosen", detail=chosen)],
    )


def review_from(message: review_pb2.Review, reviewer: str) -> Review:
    decision = DECISIONS.get(message.decision)
    if decision is None:
        raise InvalidInput("review.decision", message.decision, f"must be one of {', '.join(DECISION_NUMBERS)}")
    turns = turns_from(message.messages, "review.messages")
    return Review(reviewer, decision, message.reason[:2000], turns)


def candidate_to(queued: Queued) -> review_pb2.Candidate:
    prefix = f"queues/{queued.queue}/candidates"
    return review_pb2.Candidate(
        name=f"{prefix}/{queued.id}",
        source=queued.source,
        messages=turns_to(queued.candidate.messages),
        attribution=attribution_to(queued.candidate.attribution),
        score=queued.candidate.score,
        notes=[*queued.candidate.steps, *(f"tagged {tag}" for tag in queued.candidate.tags)],
        reviews=[_review_to(review) for review in queued.reviews],
        near_duplicates=[f"{prefix}/{name}" for name in queued.near_duplicates],
        etag=queued.etag,
        lease_expire_time=timestamp(queued.lease_until) if queued.lease_until else None,
        state=queued.state,
    )


def _review_to(review: Review) -> review_pb2.Review:
    return review_pb2.Review(
        reviewer=review.reviewer,
        decision=DECISION_NUMBERS[review.decision],
        reason=review.reason,
        messages=turns_to(review.messages),
        create_time=timestamp(review.created),
    )


def progress_to(progress: Progress) -> review_pb2.ReviewProgress:
    return review_pb2.ReviewProgress(
        pending=progress.states["pending"],
        accepted=progress.states["accepted"],
        rejected=progress.states["rejected"],
        conflicting=progress.states["conflict"],
        by_reviewer=progress.by_reviewer,
        sources=[
            review_pb2.SourceProgress(source=s.source, wanted=s.wanted, accepted=s.accepted, pending=s.pending)
            for s in progress.sources
        ],
    )


def queue_to(info: QueueInfo) -> review_pb2.Queue:
    return review_pb2.Queue(
        name=f"queues/{info.name}",
        overlap=info.overlap,
        progress=progress_to(info.progress),
        funnel=funnel_to(info.funnels),
    )


def draft_from(message: authoring_pb2.Draft, collection: str, name: str, author: str) -> Draft:
    turns = turns_from(message.messages, "draft.messages")
    return Draft(
        collection,
        name,
        message.group,
        message.split,
        turns,
        tuple(message.tags),
        author,
        attribution_from(message.attribution),
        etag=message.etag,
    )


def draft_to(draft: Draft) -> authoring_pb2.Draft:
    state = authoring_pb2.DRAFT_STATE_SUBMITTED if draft.submitted else authoring_pb2.DRAFT_STATE_OPEN
    return authoring_pb2.Draft(
        name=f"collections/{draft.collection}/drafts/{draft.id}",
        group=draft.group,
        split=draft.split,
        messages=turns_to(draft.messages),
        tags=draft.tags,
        author=draft.author,
        attribution=attribution_to(draft.attribution),
        state=state,
        style=style_to(style_report(draft.messages, draft.tags)),
        etag=draft.etag,
        create_time=timestamp(draft.created),
        update_time=timestamp(draft.updated),
    )


def style_to(report: StyleReport) -> authoring_pb2.StyleReport:
    return authoring_pb2.StyleReport(
        remarks=[authoring_pb2.StyleRemark(rule=r.rule, message=r.message, turn=r.turn) for r in report.remarks],
        prompt_tokens=report.prompt_tokens,
        response_tokens=report.response_tokens,
    )


def quota_to(line: QuotaLine) -> authoring_pb2.AuthoringQuota:
    return authoring_pb2.AuthoringQuota(
        group=line.group, split=line.split, tag=line.tag, wanted=line.wanted, open=line.open, submitted=line.submitted
    )
