"""Starts a run, on Ray or in this process; does nothing when it is complete. Imports torch only when it must."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from services.shared.errors import Cancelled, FailedPrecondition, InvalidInput, LimaError, Unavailable
from services.shared.records import RunPhase, RunStatus
from services.shared.settings import Settings
from training_jobs.host import keep_memory, worker_environment
from training_jobs.run_folder import RunFolder
from training_jobs.spec import TrainingSpec

if TYPE_CHECKING:
    from training_jobs.engines.base import Engine
    from training_jobs.model import Trainee

# Between two looks at whether the cluster has room for more workers of an elastic run. Each change begins again from
# the newest full state.
RESIZE_SECONDS = 60.0
_log = structlog.get_logger()


def run(spec: TrainingSpec, settings: Settings) -> RunStatus:
    """Train to the end, from where an earlier attempt of the same spec stopped. Returns the final status.

    Raises:
        FailedPrecondition: the name belongs to another run, or training cannot go on.
        Conflict: another live process computes this run.
        InvalidInput: nothing can be written where the run should leave its results.
        Cancelled: somebody asked the run to stop; its state is saved.
        LimaError: what else a person must mend; it is in the run's status too.
    """
    if not spec.compute.gpus_per_worker:
        keep_memory()
    folder = RunFolder.open(spec.run, spec.output, settings)
    try:
        folder.claim(spec)
    except OSError as error:
        raise InvalidInput(
            "output", spec.output, f"cannot be written to: {error}", "name a folder with room, or an s3:// URI"
        ) from error
    if folder.is_complete():
        return _status(folder)
    with folder.lease():
        folder.forget_stop_requests()
        before = folder.status()
        if before is None or before.phase is RunPhase.FAILED:
            blank = before or RunStatus(run=spec.run, phase=RunPhase.PENDING, updated=datetime.now(UTC))
            folder.write_status(blank.model_copy(update={"phase": RunPhase.PENDING, "message": ""}))
        try:
            (_run_bare if spec.compute.engine == "bare" else _run_on_ray)(spec, settings, folder)
        except Exception as error:
            # What nobody foresaw is told too: a run that has ended must not look as if it were waiting.
            unforeseen = FailedPrecondition(f"{type(error).__name__}: {error}")
            _record_failure(folder, error if isinstance(error, LimaError) else unforeseen)
            raise
    status = _status(folder)
    if status.phase is not RunPhase.SUCCEEDED:
        raise Cancelled(f"run {spec.run!r} was stopped at step {status.step}", "start the same spec again to go on")
    return status


def _status(folder: RunFolder) -> RunStatus:
    status = folder.status()
    assert status is not None
    return status


def _record_failure(folder: RunFolder, error: LimaError) -> None:
    changes = {"phase": RunPhase.FAILED, "message": str(error), "eta_seconds": None, "updated": datetime.now(UTC)}
    try:
        status = _status(folder)
        if status.phase is not RunPhase.FAILED:
            folder.write_status(status.model_copy(update=changes))
    except (LimaError, OSError) as unrecorded:
        # A store that is full or away takes no status either; the error itself must still be told.
        _log.warning("failure_not_recorded", run=folder.run, error=str(unrecorded))


@contextmanager
def _termination(folder: RunFolder) -> Iterator[None]:
    """SIGTERM (a preempted node, a deleted pod) asks the run to save its state and stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: object) -> None:
        _log.warning("terminating", run=folder.run)
        # Off the signal handler: the main thread may be inside the same storage client.
        threading.Thread(target=folder.ask_to_stop, args=("preempt",)).start()

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_bare(spec: TrainingSpec, settings: Settings, folder: RunFolder) -> None:
    from training_jobs import worker
    from training_jobs.loop import Stopped

    try:
        with _termination(folder):
            worker.train(spec, settings, bare_engine)
    except Stopped:
        _log.info("stopped", run=spec.run)


def bare_engine(trainee: Trainee, spec: TrainingSpec) -> Engine:
    import torch

    from training_jobs.engines.bare import BareEngine

    device = torch.device("cuda" if spec.compute.gpus_per_worker else "cpu")
    return BareEngine(trainee, spec.recipe, device)


def zero_engine(trainee: Trainee, spec: TrainingSpec) -> Engine:
    from training_jobs.engines.zero import ZeroEngine

    return ZeroEngine(trainee, spec.recipe, spec.compute)


def ray_worker(config: dict[str, Any]) -> None:
    """What Ray Train runs on each worker. A fault that a person must mend is recorded, and ends the run.

    It is raised all the same, so that ranks which did not meet it are not left waiting; Ray then starts the workers
    again, and they find the run failed.
    """
    from ray.train import get_context, get_preemption_info

    from training_jobs import worker
    from training_jobs.loop import Stopped

    spec, settings = with_workers(config["spec"], get_context().get_world_size()), config["settings"]
    folder = RunFolder.open(spec.run, spec.output, settings)
    if _status(folder).phase is RunPhase.FAILED:
        return
    try:
        worker.train(spec, settings, zero_engine, lambda: get_preemption_info() is not None)
    except Stopped:
        _log.info("stopped", run=spec.run)
    except LimaError as error:
        _record_failure(folder, error)
        if spec.compute.workers > 1:
            raise


def with_workers(spec: TrainingSpec, workers: int) -> TrainingSpec:
    """The spec as it is computed by so many workers: an elastic run has fewer than it asks for at times."""
    return spec.model_copy(update={"compute": spec.compute.model_copy(update={"workers": workers})})


def _run_on_ray(spec: TrainingSpec, settings: Settings, folder: RunFolder) -> None:
    # Read by Ray when it is imported. By default it makes its workers nice; on a busy machine they then miss their
    # health checks.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray
    from ray.train.v2.api.exceptions import TrainingFailedError

    started_here = _connect()
    try:
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        refuse_without_room(spec, there, may_grow=not started_here)
        # Ray takes SIGTERM for itself when it starts, so ours comes after.
        with _termination(folder):
            _trainer(spec, settings).fit()
    except TrainingFailedError as error:
        _raise_recorded(folder)
        raise Unavailable(
            f"a worker was lost {spec.compute.max_restarts + 1} times: {error}",
            "read the worker's log, then start the same spec again: it continues",
        ) from error
    finally:
        if started_here:
            ray.shutdown()
    _raise_recorded(folder)


def _raise_recorded(folder: RunFolder) -> None:
    """Raise what a worker recorded as the reason of the run's failure, if one did."""
    status = folder.status()
    if status is not None and status.phase is RunPhase.FAILED:
        message, _, remedy = status.message.partition("\nremedy: ")
        raise FailedPrecondition(message, remedy)


def _connect() -> bool:
    """Join the Ray of RAY_ADDRESS, or start a local one. True when this process started it."""
    import ray

    if ray.is_initialized():
        return False
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        # A Ray that ends with this process gives no notice that it will: one process less beside training.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    ray.init(address=address or "local", include_dashboard=False if not address else None, log_to_driver=False)
    return not address


def refuse_without_room(spec: TrainingSpec, found: Mapping[str, float], *, may_grow: bool) -> None:
    """Raises FailedPrecondition when a Ray of these resources can never start the run: it would wait for ever.

    One that may grow is waited for, and the log says so.
    """
    compute = spec.compute
    least = compute.min_workers or compute.workers
    needs = {"CPU": ("compute.cpus_per_worker", compute.cpus_per_worker)}
    needs["GPU"] = ("compute.gpus_per_worker", compute.gpus_per_worker)
    for resource, (field, each) in needs.items():
        there = found.get(resource, 0)
        if least * each <= there:
            continue
        what = f"{least} workers with {field} = {each:g} need {least * each:g} {resource}s, and Ray has {there:g}"
        if not may_grow:
            raise FailedPrecondition(
                what, f"lower compute.workers or {field}, or name a larger cluster with RAY_ADDRESS"
            )
        _log.warning("waits_for_room", run=spec.run, reason=what)


def _trainer(spec: TrainingSpec, settings: Settings) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    compute = spec.compute
    workers: Any = compute.workers
    if compute.min_workers is not None and compute.min_workers < compute.workers:
        workers = (compute.min_workers, compute.workers)
    on_gpu = compute.gpus_per_worker > 0
    resources = {"CPU": compute.cpus_per_worker, **({"GPU": float(compute.gpus_per_worker)} if on_gpu else {})}
    # Typed as of Ray Train's first version, which has no such settings.
    elasticity: dict[str, Any] = {"elastic_resize_monitor_interval_s": RESIZE_SECONDS}
    settled: dict[str, Any] = {"worker_runtime_env": {"env_vars": {} if on_gpu else worker_environment()}}
    return TorchTrainer(
        ray_worker,
        train_loop_config={"spec": spec, "settings": settings},
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=on_gpu, resources_per_worker=resources, **elasticity),
        run_config=RunConfig(
            name=spec.run,
            storage_path=str(settings.state_dir.absolute() / "training" / "ray"),
            failure_config=FailureConfig(max_failures=compute.max_restarts),
            **settled,
        ),
    )
