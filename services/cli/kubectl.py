"""kubectl-lima: fine-tuning jobs of a cluster. On the PATH, kubectl finds it as `kubectl lima`."""

from __future__ import annotations

import functools
import inspect
import json
import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.failure import report_failure
from services.cli.help import with_examples
from services.cli.kubectl_commands.cluster import Kubectl
from services.cli.output import next_commands, table

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)

FLAGS: dict[str, Any] = {
    "namespace": Annotated[str | None, typer.Option("-n", "--namespace", help="Namespace; default: the context's.")],
    "context": Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")],
    "kubeconfig": Annotated[str | None, typer.Option("--kubeconfig", help="Path of a kubeconfig.")],
}
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the FineTuneJob.")]


class DryRun(StrEnum):
    NONE = "none"
    CLIENT = "client"
    SERVER = "server"


class Output(StrEnum):
    YAML = "yaml"
    JSON = "json"
    NAME = "name"


Shown = Annotated[Output | None, typer.Option("-o", "--output", help="Print the job so: yaml, json or name.")]


def command(*examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command, its help its docstring, whose first parameter is the kubectl that FLAGS choose."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**given: Any) -> None:
            function(Kubectl(**{flag: given.pop(flag) for flag in FLAGS}), **given)

        own = inspect.signature(function, eval_str=True)
        named = inspect.Parameter.KEYWORD_ONLY
        flags = [inspect.Parameter(name, named, default=None, annotation=kind) for name, kind in FLAGS.items()]
        asked = [parameter.replace(kind=named) for parameter in list(own.parameters.values())[1:]]
        # Typer reads both: what a command takes, and of what type it is.
        signature = own.replace(parameters=[*asked, *flags])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        told = function.__doc__ or ""
        app.command(help=with_examples(told, *examples), short_help=told)(run)
        return function

    return register


@command(
    "kubectl lima train lima-7b --model models/llama-7b/1 --dataset lima@0123456789ab --workers 8",
    "kubectl lima train try --model models/smollm2-135m/1 --dataset lima@0123456789ab --dry-run=client -o yaml",
)
def train(
    kubectl: Kubectl,
    name: Name,
    model: Annotated[str, typer.Option(help="Base model: models/NAME/VERSION of the object store.")],
    dataset: Annotated[str, typer.Option(help="NAME@DIGEST, as `lima datasets list` prints it.")],
    preset: Annotated[str | None, typer.Option(help="Named recipe: lima-7b, lima-65b, ...")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Training workers.")] = None,
    gpus_per_worker: Annotated[int | None, typer.Option(min=0, help="GPUs of each worker.")] = None,
    workers_per_pod: Annotated[int | None, typer.Option(min=1, help="Workers that share a pod.")] = None,
    queue: Annotated[str | None, typer.Option(help="Queue, where Kueue or Volcano schedule.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Any field: recipe.epochs=3")] = None,
    suspend: Annotated[bool, typer.Option(help="Create it without starting it.")] = False,
    dry_run: Annotated[DryRun, typer.Option(help="client: print only. server: let the cluster check.")] = DryRun.NONE,
    output: Shown = None,
) -> None:
    """Create a FineTuneJob."""
    from services.cli.kubectl_commands import jobs

    settings = {
        "preset": preset,
        "compute.workers": workers,
        "compute.gpusPerWorker": gpus_per_worker,
        "workersPerPod": workers_per_pod,
        "queue": queue,
        "suspend": suspend,
    }
    manifest = jobs.job_manifest(name, model, dataset, settings, overrides or [], kubectl.namespace)
    jobs.check(manifest)
    if dry_run is DryRun.CLIENT:
        print(jobs.shown(manifest, output or "yaml"))
        return
    server = ["--dry-run=server"] if dry_run is DryRun.SERVER else []
    shown = [f"--output={output}"] if output else []
    print(kubectl("create", "-f", "-", *server, *shown, stdin=json.dumps(manifest)).rstrip())
    next_commands(f"kubectl lima logs {name} -f", f"kubectl get ftj {name} -w", f"kubectl lima cancel {name}")


@command(
    "kubectl lima status lima-7b",
    "kubectl lima status lima-7b -o json",
)
def status(
    kubectl: Kubectl,
    name: Name,
    output: Shown = None,
) -> None:
    """What a job is doing, and why."""
    if output:
        print(kubectl("get", "finetunejobs.lima.dev", name, f"--output={output}").rstrip())
        return
    found = json.loads(kubectl("get", "finetunejobs.lima.dev", name, "--output=json")).get("status") or {}
    rows = [[key, value] for key, value in found.items() if key != "conditions" and value not in ("", 0, None)]
    table(["field", "value"], rows)
    conditions = found.get("conditions") or []
    facts = [[c["type"], c["status"], c["reason"], c.get("message", "")] for c in conditions]
    table(["condition", "status", "reason", "message"], facts)
    next_commands(f"kubectl lima logs {name} -f")


@command(
    "kubectl lima logs lima-7b -f",
)
def logs(
    kubectl: Kubectl,
    name: Name,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job ends.")] = False,
    tail: Annotated[int, typer.Option(help="Lines from the end; -1 is all.")] = -1,
) -> None:
    """The training log: that of Ray's driver, as the submitter follows it."""
    from services.cli.kubectl_commands.jobs import SUBMITTER, submitters, wait_for_log

    # Asked first, so that a wrong name is told as such and not as an empty log.
    kubectl("get", "finetunejobs.lima.dev", name, "--output=name")
    if follow:
        wait_for_log(kubectl, name)
    flags = [submitters(name), f"--container={SUBMITTER}", f"--tail={tail}"]
    kubectl.replace_process("logs", *flags, *(["--follow"] if follow else []))


@command(
    "kubectl lima cancel lima-7b",
)
def cancel(
    kubectl: Kubectl,
    name: Name,
    output: Shown = None,
) -> None:
    """Stop a job, free its GPUs, and keep it with its checkpoints."""
    _suspend(kubectl, name, True, output)
    next_commands(f"kubectl lima resume {name}", f"kubectl delete ftj {name}")


@command(
    "kubectl lima resume lima-7b",
)
def resume(
    kubectl: Kubectl,
    name: Name,
    output: Shown = None,
) -> None:
    """Let a cancelled job go on from its last checkpoint."""
    _suspend(kubectl, name, False, output)
    next_commands(f"kubectl lima logs {name} -f")


@command(
    "kubectl lima render -f k8s/samples/finetune-lima-7b.yaml",
    "kubectl lima render -f job.yaml --config operator.json | kubectl apply -f -",
)
def render(
    kubectl: Kubectl,
    file: Annotated[
        Path | None, typer.Option("-f", "--filename", help="A FineTuneJob; default: standard input.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="operator.json; default: the cluster's ConfigMap.")] = None,
    bucket: Annotated[str, typer.Option(help="The platform's bucket.")] = "lima",
) -> None:
    """The plain RayJob of a FineTuneJob: it runs under KubeRay without our operator."""
    from services.cli.kubectl_commands import jobs

    manifest = jobs.read_manifest(file)
    if kubectl.namespace:
        manifest["metadata"] = {**(manifest.get("metadata") or {}), "namespace": kubectl.namespace}
    if config is not None:
        print(jobs.render(manifest, str(config), bucket), end="")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as found:
        found.write(jobs.operator_config(kubectl))
        found.flush()
        print(jobs.render(manifest, found.name, bucket), end="")


def _suspend(kubectl: Kubectl, name: str, value: bool, output: Output | None) -> None:
    patch = json.dumps({"spec": {"suspend": value}})
    shown = [f"--output={output}"] if output else []
    print(kubectl("patch", "finetunejobs.lima.dev", name, *shown, "--type=merge", f"--patch={patch}").rstrip())


def main() -> None:
    """Console script: domain errors become one message and an exit code."""
    try:
        app()
    except Exception as error:
        sys.exit(report_failure(error))


if __name__ == "__main__":
    main()
