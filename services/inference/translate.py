"""Protobuf to plain values and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from lima.common.v1 import message_pb2
from lima.inference.v1 import inference_pb2, model_pb2, sampling_pb2
from services.inference.answers import Answer, Completion, Finish, Piece, TextScore, TokenLogprob, Usage
from services.inference.registration import Registration
from services.inference.registry import Alias, ModelVersion
from services.inference.replica.spec import DeploymentState
from services.inference.sampling import Sampling
from services.inference.text_input import check_turns
from services.inference.upstreams.source import UpstreamSource
from services.shared.errors import InvalidInput
from services.shared.records import Turn

FINISH: dict[Finish | None, Any] = {
    None: sampling_pb2.FINISH_REASON_UNSPECIFIED,
    "stop": sampling_pb2.FINISH_REASON_STOP,
    "length": sampling_pb2.FINISH_REASON_LENGTH,
}
KINDS = {
    "replica": model_pb2.Model.KIND_REPLICA,
    "upstream": model_pb2.Model.KIND_UPSTREAM,
    "recorded": model_pb2.Model.KIND_RECORDED,
}
SOURCE_RULE = "must be one of folder_uri, hub_id, checkpoint, package, upstream, recorded_uri"
OPTIONAL = ("temperature", "top_p", "repetition_penalty", "max_tokens", "top_k", "min_p", "seed", "logprobs")


def sampling_from(message: sampling_pb2.Sampling) -> Sampling:
    """Unset fields take the paper's values. Raises InvalidInputs."""
    given = {field: getattr(message, field) for field in OPTIONAL if message.HasField(field)}
    return Sampling(stop=tuple(message.stop), **given)


def sampling_to(sampling: Sampling) -> sampling_pb2.Sampling:
    given = {field: value for field in OPTIONAL if (value := getattr(sampling, field)) is not None}
    return sampling_pb2.Sampling(stop=list(sampling.stop), **given)


def turns_from(messages: Sequence[message_pb2.Message]) -> tuple[Turn, ...]:
    return check_turns([(message.role, message.content) for message in messages])


def usage_to(usage: Usage) -> sampling_pb2.Usage:
    return sampling_pb2.Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)


def logprobs_to(tokens: Sequence[TokenLogprob]) -> list[sampling_pb2.TokenLogprob]:
    return [
        sampling_pb2.TokenLogprob(
            token=token.token, logprob=token.logprob, alternatives=logprobs_to(token.alternatives)
        )
        for token in tokens
    ]


def completion_to(completion: Completion) -> inference_pb2.Completion:
    return inference_pb2.Completion(
        text=completion.text, finish_reason=FINISH[completion.finish], logprobs=logprobs_to(completion.logprobs)
    )


def answer_fields(answer: Answer) -> dict[str, Any]:
    """The fields that GenerateResponse and ChatResponse share."""
    return {
        "completions": map(completion_to, answer.completions),
        "usage": usage_to(answer.usage),
        "model": answer.model,
        "deviations": answer.deviations,
    }


def piece_fields(piece: Piece, model: str) -> dict[str, Any]:
    """The fields that StreamGenerateResponse and StreamChatResponse share."""
    fields = {"text": piece.text, "finish_reason": FINISH[piece.finish], "model": model}
    if piece.usage is not None:
        fields["usage"] = usage_to(piece.usage)
    return fields | {"logprobs": logprobs_to(piece.logprobs), "deviations": piece.deviations}


def score_to(score: TextScore) -> inference_pb2.TextScore:
    return inference_pb2.TextScore(
        logprob=score.logprob, token_count=len(score.tokens), tokens=logprobs_to(score.tokens)
    )


def response_set_to(manifest: dict[str, Any]) -> inference_pb2.ResponseSet:
    created = Timestamp()
    created.FromDatetime(datetime.fromisoformat(manifest["created"]))
    return inference_pb2.ResponseSet(
        name=manifest["name"],
        uri=manifest["uri"],
        model=manifest["model"],
        prompts_uri=manifest["prompts_uri"],
        prompt_count=manifest["prompt_count"],
        response_count=manifest["response_count"],
        sampling=sampling_to(Sampling.from_json(manifest["sampling"])),
        usage=usage_to(Usage(manifest["prompt_tokens"], manifest["completion_tokens"])),
        deviations=manifest["deviations"],
        create_time=created,
        finish_counts=manifest["finish_counts"],
    )


def registration_from(request: model_pb2.RegisterModelRequest) -> Registration:
    kind = request.WhichOneof("source")
    if kind is None:
        raise InvalidInput("source", "", SOURCE_RULE)
    if kind == "upstream":
        fields = {field.name: value for field, value in request.upstream.ListFields()}
        source = UpstreamSource(**{"base_url": "", "model": ""} | fields)
        return Registration(request.model_id, request.version, kind, source)
    return Registration(request.model_id, request.version, kind, getattr(request, kind))


def model_to(model: ModelVersion, state: DeploymentState | None) -> model_pb2.Model:
    created = Timestamp()
    created.FromDatetime(datetime.fromtimestamp(model.created, UTC))
    serving, message = _state(model, state)
    return model_pb2.Model(
        name=model.resource,
        state=serving,
        kind=KINDS[model.kind],
        uri=model.uri,
        digest=model.digest,
        parameter_count=model.parameter_count,
        context_length=model.context_length,
        engine=model.engine,
        ready_replicas=state.replicas if state else 0,
        state_message=message,
        origin=model.origin,
        create_time=created,
    )


def _state(model: ModelVersion, state: DeploymentState | None) -> tuple[Any, str]:
    states = model_pb2.Model
    if model.kind != "replica":
        return states.STATE_READY, "answers without a replica of ours"
    if not model.wanted:
        return states.STATE_REGISTERED, ""
    if state is None:
        return states.STATE_LOADING, "waiting for the replica side"
    if state.replicas:
        return states.STATE_READY, state.message
    if state.state == "DEPLOY_FAILED":
        return states.STATE_FAILED, state.message
    return states.STATE_LOADING, state.message


def alias_to(alias: Alias) -> model_pb2.Alias:
    history = []
    for change in alias.history:
        changed = Timestamp()
        changed.FromDatetime(datetime.fromtimestamp(change.changed, UTC))
        history.append(model_pb2.AliasChange(model=change.model, changed_by=change.changed_by, change_time=changed))
    return model_pb2.Alias(name=f"aliases/{alias.name}", model=alias.model, history=history)
