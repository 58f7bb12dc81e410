"""Has dev prompts answered after every epoch, and the end of the run checked for stopping. Rank 0 only.

While training goes on, a child process (training_jobs.answers) answers from a copy of the checkpoint, one epoch after
another. The last epoch's answers are made in this process, which has nothing else to do then. What fails costs its
answers, not the run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from services.shared.records import Example, Response
from training_jobs.answers import generate
from training_jobs.run_folder import RunFolder, answers_name, checkpoint_name
from training_jobs.spec import TrainingSpec

# A checkpoint whose answers take longer has no part in choosing one.
PATIENCE_SECONDS = 3600.0
_log = structlog.get_logger()


class DevAnswers:
    """Call `after_epoch` while the checkpoint's local folder is there, `finish` once at the end."""

    def __init__(self, spec: TrainingSpec, run: RunFolder, work: Path, prompts: Sequence[Example]) -> None:
        self._settings = spec.evaluation
        self._last_epoch = spec.recipe.epochs
        self._seed = spec.recipe.seed
        self._run = run
        self._work = work / "answers"
        shutil.rmtree(self._work, ignore_errors=True)
        self._prompts = prompts
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._child: subprocess.Popen[str] | None = None
        self._last: tuple[Path, Sequence[Example]] | None = None
        self._cancelled = False

    def after_epoch(self, epoch: int, checkpoint: Path) -> None:
        """Start answering. The files are linked, so the folder may go away."""
        count = self._settings.answers
        if epoch == self._last_epoch:
            count = max(count, self._settings.stop_check)
        prompts = self._prompts[:count]
        if not prompts:
            return
        copy = self._work / f"epoch-{epoch:02d}"
        shutil.copytree(checkpoint, copy, copy_function=os.link)
        if epoch == self._last_epoch:
            self._last = (copy, prompts)
        else:
            self._pool.submit(self._answer_beside, epoch, copy, prompts)

    def finish(self) -> str:
        """Wait for what is under way and answer with the last checkpoint. Returns what is to be said of it, if
        anything."""
        self._pool.shutdown(wait=True)
        if self._last is None:
            return ""
        checkpoint, prompts = self._last
        try:
            found = generate(checkpoint, prompts, max_new_tokens=self._settings.max_new_tokens, seed=self._seed)
            name = f"{self._run.run}/{checkpoint_name(self._last_epoch)}"
            lines = [answer.model_copy(update={"model": name}).model_dump_json() + "\n" for answer in found]
            self._run.storage.put_bytes(self._run.key(answers_name(self._last_epoch)), "".join(lines).encode())
        except Exception as error:
            _log.warning("no_answers", epoch=self._last_epoch, error=str(error))
            return f"the last epoch gave no dev answers: {error}"
        finally:
            shutil.rmtree(checkpoint, ignore_errors=True)
        return _stopping(found)

    def cancel(self) -> None:
        """End what is under way; the run stops."""
        self._cancelled = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._child is not None:
            self._child.kill()

    def _answer_beside(self, epoch: int, checkpoint: Path, prompts: Sequence[Example]) -> None:
        lines, output = checkpoint.with_suffix(".prompts.jsonl"), checkpoint.with_suffix(".jsonl")
        lines.write_text("".join(prompt.model_dump_json() + "\n" for prompt in prompts))
        command = [sys.executable, "-m", "training_jobs.answers", str(checkpoint), str(lines), str(output)]
        command += ["--max-new-tokens", str(self._settings.max_new_tokens), "--seed", str(self._seed)]
        command += ["--model", f"{self._run.run}/{checkpoint_name(epoch)}"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._child = child
        try:
            _, errors = child.communicate(timeout=PATIENCE_SECONDS)
            if child.returncode:
                raise RuntimeError(errors.strip().rpartition("\n")[2] or f"exit code {child.returncode}")
            self._run.storage.put_bytes(self._run.key(answers_name(epoch)), output.read_bytes())
        except Exception as error:
            if not self._cancelled:
                _log.warning("no_answers", epoch=epoch, error=str(error))
        finally:
            child.kill()
            shutil.rmtree(checkpoint, ignore_errors=True)


def _stopping(answers: Sequence[Response]) -> str:
    stopped = sum(answer.finish_reason == "stop" for answer in answers)
    verdict = f"{stopped} of {len(answers)} answers of the last epoch end in EOT"
    return verdict if stopped else f"{verdict}: generation does not stop by itself yet"
