"""Between protobuf messages and the domain's values; nothing else knows both."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from google.protobuf import timestamp_pb2

from lima.judging.v1 import judging_pb2, study_pb2
from services.judging.assignments import Progress
from services.judging.group_agreement import AgreementResult
from services.judging.kept_results import Computed
from services.judging.repository import StoredStudy
from services.judging.results import PairResult, Results, ScoreResult
from services.judging.splits import Split
from services.judging.statistics.estimate import Estimate
from services.judging.studies import JudgeProgress
from services.judging.study import NAME, StudySpec
from services.judging.verdicts import Choice, Verdict
from services.shared.errors import InvalidInput

MAX_EXCERPT = 300
_PREFIX = "studies/"
_CHOICES = {
    Choice.WIN: study_pb2.CHOICE_WIN,
    Choice.TIE: study_pb2.CHOICE_TIE,
    Choice.LOSE: study_pb2.CHOICE_LOSE,
}
_STATES = {
    "open": study_pb2.Study.STATE_OPEN,
    "running": study_pb2.Study.STATE_RUNNING,
    "done": study_pb2.Study.STATE_DONE,
    "failed": study_pb2.Study.STATE_FAILED,
}
_ITEM = re.compile(r"studies/([a-z0-9-]{1,63})/items/([0-9a-f]{24})")


def study_id(name: str, field: str = "name") -> str:
    """The study of "studies/<name>"."""
    identifier = name.removeprefix(_PREFIX)
    if not name.startswith(_PREFIX) or not NAME.fullmatch(identifier):
        raise InvalidInput(
            field, name, 'must be "studies/<name>"', remedy="see the studies there are: lima studies list"
        )
    return identifier


def item_id(name: str) -> tuple[str, str]:
    """The study and the item of "studies/<study>/items/<id>"."""
    found = _ITEM.fullmatch(name)
    if found is None:
        raise InvalidInput("name", name, 'must be "studies/<study>/items/<id>"')
    return found.group(1), found.group(2)


def item_name(study: str, item: str) -> str:
    return f"{_PREFIX}{study}/items/{item}"


def to_spec(message: study_pb2.StudySpec) -> StudySpec:
    """Validate a spec from outside; fields that are not set take their defaults."""
    if message.protocol == study_pb2.PROTOCOL_UNSPECIFIED:
        raise InvalidInput(
            "spec.protocol", "unspecified", "must be one of the protocols", remedy="set it, e.g. pairwise"
        )
    values: dict[str, Any] = {
        "name": message.name,
        "protocol": study_pb2.Protocol.Name(message.protocol).removeprefix("PROTOCOL_").lower(),
        "systems": [_set_fields(system) for system in message.systems],
        "judges": [_set_fields(judge) for judge in message.judges],
        "seed": message.seed,
        "template": message.template,
        "human": _set_fields(message.human),
        "limits": _set_fields(message.limits),
    }
    if message.HasField("selection"):
        values["selection"] = _set_fields(message.selection)
    return StudySpec.parse(values)


def _set_fields(message: Any) -> dict[str, Any]:
    """The fields of a flat message that are set."""
    return {
        field.name: dict(value) if field.message_type and field.message_type.GetOptions().map_entry else value
        for field, value in message.ListFields()
    }


def from_spec(spec: StudySpec) -> study_pb2.StudySpec:
    message = study_pb2.StudySpec(
        name=spec.name,
        protocol=f"PROTOCOL_{spec.protocol.value.upper()}",
        systems=[study_pb2.System(**system.model_dump()) for system in spec.systems],
        judges=[study_pb2.JudgeSpec(**judge.model_dump()) for judge in spec.judges],
        seed=spec.seed,
        template=spec.template,
        human=study_pb2.HumanSpec(**spec.human.model_dump()),
        limits=study_pb2.Limits(**spec.limits.model_dump()),
    )
    if spec.selection is not None:
        message.selection.CopyFrom(study_pb2.Selection(**spec.selection.model_dump()))
    return message


def from_study(study: StoredStudy) -> study_pb2.Study:
    usage = study.usage
    return study_pb2.Study(
        name=_PREFIX + study.spec.name,
        spec=from_spec(study.spec),
        state=_STATES[study.state],
        item_count=study.item_count,
        verdict_count=study.verdict_count,
        digest=study.digest,
        create_time=timestamp(study.created),
        state_message=study.state_message,
        ledger=study_pb2.Ledger(
            calls=usage.calls,
            cached_calls=usage.cached_calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_usd=usage.cost_usd,
            seconds=usage.seconds,
        ),
    )


def timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(datetime.fromtimestamp(seconds, UTC))
    return made


def from_verdict(verdict: Verdict) -> study_pb2.Verdict:
    message = study_pb2.Verdict(
        id=verdict.id,
        prompt_id=verdict.prompt_id,
        systems=verdict.systems,
        judge=verdict.judge,
        judge_kind=verdict.judge_kind,
        choice=_CHOICES[verdict.choice] if verdict.choice else study_pb2.CHOICE_UNSPECIFIED,
        label=verdict.label,
        first_on_a=verdict.first_on_a,
        state=verdict.state.value,
        reasoning=verdict.reasoning,
        sample=verdict.sample,
        seconds=verdict.seconds,
        scores=verdict.scores,
        preference=verdict.preference,
        gold_correct=verdict.gold_correct,
        score=verdict.scores[0] if len(verdict.scores) == 1 else None,
    )
    if verdict.created:
        message.create_time.FromDatetime(verdict.created)
    return message


def from_estimate(estimate: Estimate) -> judging_pb2.Estimate:
    return judging_pb2.Estimate(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        excluded=dict(estimate.excluded),
        method=estimate.method,
    )


def from_computed(computed: Computed, newer_changes: int = 0) -> judging_pb2.Results:
    """Results with what they cover; `newer_changes` came after them."""
    message = _results(computed.results)
    message.verdict_count = computed.verdicts
    message.newer_changes = newer_changes
    if computed.at:
        message.compute_time.CopyFrom(timestamp(computed.at))
    elif newer_changes:
        message.warnings[:] = ["The results are being computed: look again in a few seconds."]
    return message


def _results(results: Results) -> judging_pb2.Results:
    return judging_pb2.Results(
        study=_PREFIX + results.study,
        pairs=[_pair(pair) for pair in results.pairs],
        scores=[_score(score) for score in results.scores],
        agreements=[_agreement(each) for each in results.agreements],
        warnings=results.warnings,
        strengths=[
            judging_pb2.StrengthResult(system=each.system, judge=each.judge, log_odds=from_estimate(each.log_odds))
            for each in results.strengths
        ],
        reliabilities=[
            judging_pb2.ReliabilityResult(
                group=each.group,
                fleiss_kappa=from_estimate(each.fleiss_kappa),
                krippendorff_alpha=from_estimate(each.krippendorff_alpha),
            )
            for each in results.reliabilities
        ],
        gold=[
            judging_pb2.GoldResult(annotator=each.annotator, accuracy=from_estimate(each.accuracy))
            for each in results.gold
        ],
    )


def _pair(pair: PairResult) -> judging_pb2.PairResult:
    summary = pair.summary
    message = judging_pb2.PairResult(
        first=pair.first,
        second=pair.second,
        judge=pair.judge,
        win=from_estimate(summary.win),
        tie=from_estimate(summary.tie),
        lose=from_estimate(summary.lose),
        win_rate=from_estimate(summary.win_rate),
        wins=summary.wins,
        ties=summary.ties,
        losses=summary.losses,
        sign_p=summary.sign_p,
        position_p=summary.position_p,
    )
    for name, estimate in (
        ("flip_rate", summary.flip_rate),
        ("position_bias", summary.position_bias),
        ("longer_preferred", pair.length.longer_preferred),
        ("length_controlled_win_rate", pair.length.controlled_win_rate),
    ):
        if estimate.known:
            getattr(message, name).CopyFrom(from_estimate(estimate))
    return message


def _score(score: ScoreResult) -> judging_pb2.ScoreResult:
    return judging_pb2.ScoreResult(
        system=score.system,
        judge=score.judge,
        mean=from_estimate(score.mean),
        shares={label: from_estimate(share) for label, share in score.shares.items()},
    )


def _agreement(each: AgreementResult) -> judging_pb2.AgreementResult:
    return judging_pb2.AgreementResult(
        first=each.first,
        second=each.second,
        tie_discounted=from_estimate(each.tie_discounted),
        kappa=from_estimate(each.kappa),
    )


def from_progress(progress: Progress) -> judging_pb2.AnnotatorProgress:
    return judging_pb2.AnnotatorProgress(
        annotator=progress.annotator,
        done=progress.done,
        skipped=progress.skipped,
        remaining=progress.remaining,
        gold_accuracy=progress.gold_accuracy,
        median_seconds=progress.median_seconds,
    )


def from_split(study: str, split: Split) -> judging_pb2.Split:
    message = judging_pb2.Split(
        study=_PREFIX + study,
        dataset_uri=split.dataset_uri,
        threshold=split.threshold,
        method=split.method,
        confirmed_by=split.confirmed_by,
        prompts=[
            judging_pb2.SplitPrompt(
                prompt_id=each.prompt_id,
                text=each.text[:MAX_EXCERPT],
                nearest_example=each.nearest.example if each.nearest else "",
                nearest_text=each.nearest.text if each.nearest else "",
                similarity=each.nearest.similarity if each.nearest else 0.0,
                out_of_distribution=each.out_of_distribution,
            )
            for each in split.prompts
        ],
    )
    if split.confirmed:
        message.confirm_time.CopyFrom(timestamp(split.confirmed))
    return message


def from_judge_progress(progress: JudgeProgress) -> judging_pb2.JudgeProgress:
    said = progress.said
    return judging_pb2.JudgeProgress(
        judge=said.judge,
        kind=said.kind,
        done=said.verdicts,
        total=progress.total,
        unparsable=said.unparsable,
        failed=said.failed,
    )
