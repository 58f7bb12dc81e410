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
from services.console.recent import Recent
from services.shared.errors import NotFound

CODE_LENGTH = 10
# A new study is in the list after at most this long.
FRESH_SECONDS = 5.0


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


class TaskBoard:
    """The studies with work for people."""

    def __init__(self, backends: Backends, secret: bytes) -> None:
        self._backends = backends
        self._secret = secret
        self._listed = Recent(self._list, FRESH_SECONDS)

    async def all(self) -> list[Task]:
        """Oldest first, at most FRESH_SECONDS old."""
        return await self._listed.get()

    async def find(self, code: str) -> Task:
        """The task of a code, which stands for its study for ever. Raises NotFound."""
        task = _named(code, self._listed.last or [])
        if task is None:
            self._listed.forget()
            task = _named(code, await self.all())
        if task is None:
            raise NotFound("task", code, remedy="choose one from the list of tasks")
        return task

    async def waiting(self, annotator: str) -> list[tuple[Task, judging_pb2.AnnotatorProgress]]:
        """Every task with how far this annotator is in it."""
        tasks = await self.all()
        return list(zip(tasks, await asyncio.gather(*(self._progress(task, annotator) for task in tasks)), strict=True))

    async def _list(self) -> list[Task]:
        found: list[study_pb2.Study] = []
        token = ""
        while True:
            request = judging_pb2.ListStudiesRequest(page_size=200, page_token=token)
            answer = await self._backends.judging.ListStudies(request, timeout=PAGE_SECONDS)
            found.extend(study for study in answer.studies if study.spec.HasField("human"))
            token = answer.next_page_token
            if not token:
                break
        found.sort(key=lambda study: (study.create_time.ToNanoseconds(), study.name))
        return [Task(code_of(self._secret, study.name), study.name, study.spec.protocol) for study in found]

    async def _progress(self, task: Task, annotator: str) -> judging_pb2.AnnotatorProgress:
        request = judging_pb2.GetAnnotatorProgressRequest(parent=task.study, annotator=annotator)
        try:
            answer: judging_pb2.AnnotatorProgress = await self._backends.annotation.GetAnnotatorProgress(
                request, timeout=PAGE_SECONDS
            )
            return answer
        except grpc.aio.AioRpcError:
            return judging_pb2.AnnotatorProgress()


def _named(code: str, tasks: list[Task]) -> Task | None:
    return next((task for task in tasks if hmac.compare_digest(task.code.encode(), code.encode())), None)
