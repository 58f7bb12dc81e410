"""Studies as annotators meet them: under a code, since a study's name may tell what it compares."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from dataclasses import dataclass

import grpc

from lima.judging.v1 import judging_pb2, study_pb2
from services.console.backends import PAGE_SECONDS, Backends
from services.shared.errors import NotFound

CODE_LENGTH = 10


@dataclass(frozen=True)
class Task:
    """One study that waits for people."""

    code: str
    study: str
    protocol: int

    @property
    def protocol_key(self) -> str:
        return protocol_key(self.protocol)


def protocol_key(protocol: int) -> str:
    """The protocol's name in message keys, for example "pairwise"."""
    return str(study_pb2.Protocol.Name(protocol)).removeprefix("PROTOCOL_").lower()


def code_of(secret: bytes, study: str) -> str:
    """A name for the study that says nothing about it, the same after every restart."""
    digest = hmac.new(secret, f"task:{study}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower()[:CODE_LENGTH]


async def list_tasks(backends: Backends, secret: bytes) -> list[Task]:
    """The studies with work for people, oldest first."""
    found: list[study_pb2.Study] = []
    token = ""
    while True:
        request = judging_pb2.ListStudiesRequest(page_size=200, page_token=token)
        answer = await backends.judging.ListStudies(request, timeout=PAGE_SECONDS)
        found.extend(study for study in answer.studies if study.spec.HasField("human"))
        token = answer.next_page_token
        if not token:
            break
    found.sort(key=lambda study: (study.create_time.ToNanoseconds(), study.name))
    return [Task(code_of(secret, study.name), study.name, study.spec.protocol) for study in found]


async def task_of(backends: Backends, secret: bytes, code: str) -> Task:
    for task in await list_tasks(backends, secret):
        if hmac.compare_digest(task.code.encode(), code.encode()):
            return task
    raise NotFound("task", code, remedy="choose one from the list of tasks")


async def waiting_tasks(
    backends: Backends, secret: bytes, annotator: str
) -> list[tuple[Task, judging_pb2.AnnotatorProgress]]:
    """Every study for people with how far this annotator is in it."""
    tasks = await list_tasks(backends, secret)

    async def progress(task: Task) -> judging_pb2.AnnotatorProgress:
        request = judging_pb2.GetAnnotatorProgressRequest(parent=task.study, annotator=annotator)
        try:
            answer: judging_pb2.AnnotatorProgress = await backends.annotation.GetAnnotatorProgress(
                request, timeout=PAGE_SECONDS
            )
            return answer
        except grpc.aio.AioRpcError:
            return judging_pb2.AnnotatorProgress()

    return list(zip(tasks, await asyncio.gather(*map(progress, tasks)), strict=True))
