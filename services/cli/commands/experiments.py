"""`lima run` and `lima experiments`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, next_commands, note, table

if TYPE_CHECKING:
    from services.cli.experiment.runner import Outcome
    from services.cli.experiment.spec import Experiment
    from services.cli.stack.stack import Stack

app = typer.Typer(
    add_completion=False,
    help=with_examples("Experiment files: the whole loop in one YAML document.", "lima experiments list"),
    no_args_is_help=True,
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An experiment file.")]


@app.command(
    short_help="Walk an experiment file through the whole loop",
    help=with_examples(
        "Walk an experiment file: corpora, datasets, models, fine-tuning, responses, studies and reports. "
        "What exists already is reused, and a run that was killed continues where it stopped. "
        "Starts what it needs of the local stack, and stops what it started.",
        "lima run experiments/quickstart.yaml",
        "lima run experiments/smoke.yaml --json",
        "lima run experiments/quickstart.yaml --keep    leave the stack running",
        "lima run experiments/lima.yaml --context lab -n lima    on a platform in a cluster: runs are FineTuneJobs",
    ),
)
def run(
    file: FileArgument,
    keep: Annotated[bool, typer.Option("--keep", help="Leave running what this command started.")] = False,
    port_base: Annotated[
        int | None, typer.Option("--port-base", help="First of a block of ports for the stack; 0 takes free ones.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig whose cluster has the platform; default: none.")
    ] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="The platform's, with --context.")] = None,
    kubeconfig: Annotated[str | None, typer.Option(help="Path of a kubeconfig, with --context.")] = None,
    as_json: JsonOption = False,
) -> None:
    from services.cli.client import state_dir
    from services.cli.experiment import summary
    from services.cli.experiment.runner import walk
    from services.cli.experiment.spec import load_experiment
    from services.cli.stack.components import OBJECT_STORE
    from services.cli.stack.stack import Stack
    from services.shared.errors import InvalidInput

    stack = Stack(state_dir())
    experiment = load_experiment(file, stack.settings())
    if context:
        outcome = _walk_on_cluster(experiment, stack, context, namespace, kubeconfig)
        emit(summary.as_json(experiment, outcome), as_json, lambda: summary.show(experiment, outcome))
        return
    if namespace or kubeconfig:
        raise InvalidInput("--context", "", "is needed beside --namespace and --kubeconfig: it chooses the cluster")
    running = stack.running()
    stack.start(OBJECT_STORE, port_base=port_base)
    try:
        outcome = asyncio.run(walk(experiment, stack))
    finally:
        started = [name for name in stack.running() if name not in running]
        if started and not keep:
            stack.stop(*started)
    emit(summary.as_json(experiment, outcome), as_json, lambda: summary.show(experiment, outcome))


def _walk_on_cluster(
    experiment: Experiment, stack: Stack, context: str, namespace: str | None, kubeconfig: str | None
) -> Outcome:
    from services.cli.experiment.cluster import ClusterSite
    from services.cli.experiment.runner import walk
    from services.cli.kubectl_commands.cluster import Kubectl
    from services.cli.kubectl_commands.platform import reach

    stack.layout.create()
    kubectl = Kubectl(namespace, context, kubeconfig)
    with reach(kubectl) as settings:
        return asyncio.run(walk(experiment, stack, ClusterSite(kubectl, settings)))


@app.command(
    "list",
    short_help="List the experiment files of a folder",
    help=with_examples("List the experiment files of a folder.", "lima experiments list"),
)
def list_experiments(
    folder: Annotated[Path, typer.Argument(help="Where to look.")] = Path("experiments"),
    as_json: JsonOption = False,
) -> None:
    from services.cli.experiment.document import parse_document
    from services.shared.errors import LimaError, NotFound

    if not folder.is_dir():
        raise NotFound("folder", str(folder), remedy="lima experiments list FOLDER")
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        if "sample_corpora" in path.parts:
            continue
        try:
            document = parse_document(path)
        except LimaError as error:
            note(f"{path}: not an experiment: {error.message}")
            continue
        found.append({"file": str(path), "name": document.name, "title": document.title})
    emit(found, as_json, lambda: table(["file", "title"], [[row["file"], row["title"]] for row in found]))
    next_commands(*(f"lima run {row['file']}" for row in found[:1]))


@app.command(
    short_help="Check an experiment file without running it",
    help=with_examples(
        "Check an experiment file: its keys, references, folders and settings.",
        "lima experiments check experiments/quickstart.yaml",
    ),
)
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    from services.cli.client import client_settings
    from services.cli.experiment.runner import plan_steps
    from services.cli.experiment.spec import load_experiment

    experiment = load_experiment(file, client_settings())
    steps = [step.key for step in plan_steps(experiment)]
    emit({"name": experiment.name, "steps": steps}, as_json, lambda: table(["step"], [[step] for step in steps]))
    next_commands(f"lima run {file}")
