"""kubectl as a function: the person's own binary, with the context, namespace and credentials they chose."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from services.shared.errors import AlreadyExists, FailedPrecondition, LimaError, NotFound, Unavailable

LOG_LINE = re.compile(r"[EIWF]\d{4} \d\d:\d\d:\d\d\.\d+ ")


@dataclass(frozen=True)
class Kubectl:
    """The flags that every command honours, as kubectl spells them."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl to its end and return what it printed.

        Raises:
            NotFound, AlreadyExists, FailedPrecondition, Unavailable, LimaError: kubectl is missing or was refused, with
            its own words.
        """
        try:
            done = subprocess.run(self.command(*arguments), input=stdin, capture_output=True, text=True)
        except FileNotFoundError:
            raise _missing() from None
        if done.returncode:
            raise _refused(done.stderr.strip())
        return done.stdout

    def replace_process(self, *arguments: str) -> None:
        """Become kubectl: for what streams until the person ends it. Does not return."""
        command = self.command(*arguments)
        sys.stdout.flush()
        try:
            os.execvp(command[0], command)  # noqa: S606
        except FileNotFoundError:
            raise _missing() from None

    def command(self, *arguments: str) -> list[str]:
        named = (("--namespace", self.namespace), ("--context", self.context), ("--kubeconfig", self.kubeconfig))
        flags = [f"{flag}={value}" for flag, value in named if value]
        return [os.environ.get("LIMA_KUBECTL", "kubectl"), *flags, *arguments]


def _missing() -> LimaError:
    return FailedPrecondition("kubectl is not on the PATH", remedy="install kubectl, or name it in LIMA_KUBECTL")


def _refused(told: str) -> LimaError:
    # Lines of the client's own log, as in "E1122 17:45:00.083916    6956 memcache.go:265] ...", repeat the message.
    told = "\n".join(line for line in told.splitlines() if not LOG_LINE.match(line)) or told
    told = told.removeprefix("error: ")
    if "onnection to the server" in told or "nable to connect to the server" in told:
        return Unavailable(told, remedy="check --context and --kubeconfig: kubectl cluster-info")
    if "(NotFound)" in told:
        words: list[Any] = told.split('"')
        name = words[1] if len(words) > 1 else told
        return NotFound("object", name, remedy="kubectl get ftj lists the jobs of a namespace")
    if "(AlreadyExists)" in told:
        return AlreadyExists("object", told.split('"')[1])
    if "doesn't have a resource type" in told or "no matches for kind" in told:
        return FailedPrecondition(
            told, remedy="install the chart, which brings the FineTuneJob kind: helm install lima"
        )
    return LimaError(told or "kubectl failed without a word")
