"""Walks an experiment: each step is found by its inputs or made, in the order of the file's sections."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.cli.client import connect
from services.cli.experiment.artefact import Artefact, Records
from services.cli.experiment.models import ModelStep
from services.cli.experiment.site import LocalSite, Site
from services.cli.experiment.steps import (
    CorpusStep,
    DatasetStep,
    ResponsesStep,
    RunStep,
    Step,
    Workplace,
)
from services.cli.experiment.studies import StudyStep
from services.cli.output import note, progress

if TYPE_CHECKING:
    from services.cli.experiment.spec import Experiment
    from services.cli.stack.stack import Stack


@dataclass
class Outcome:
    """What an experiment left, by step, and which of it was there before."""

    made: dict[str, Artefact] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> dict[str, Artefact]:
        """Artefacts of one kind of step, by the name that the file has for them."""
        prefix = f"{kind}-"
        return {key.removeprefix(prefix): made for key, made in self.made.items() if key.startswith(prefix)}


def plan_steps(experiment: Experiment) -> list[Step]:
    """All steps in an order in which each finds what it needs."""
    document = experiment.document
    steps: list[Step] = [CorpusStep(name, folder) for name, folder in experiment.corpora.items()]
    for name, spec in experiment.datasets.items():
        corpora = sorted({source.corpus for source in spec.sources if source.corpus})
        steps.append(DatasetStep(name, spec, tuple(corpora)))
    steps += [ModelStep(name, source, experiment.path.parent) for name, source in document.models.items()]
    steps += [RunStep(name, run) for name, run in document.runs.items()]
    steps += [ResponsesStep(name, responses) for name, responses in document.responses.items()]
    for name, study in document.studies.items():
        models = sorted({judge["model"] for judge in study.judges})
        judges = tuple((model, f"model-{model}" if model in document.models else f"run-{model}") for model in models)
        steps.append(StudyStep(name, study, judges))
    return steps


async def walk(experiment: Experiment, stack: Stack, site: Site | None = None) -> Outcome:
    """Find or make every artefact of the experiment, here or at `site`. Starts what a missing one needs."""
    outcome, site = Outcome(), site or LocalSite(stack)
    async with connect(site.settings()) as services:
        records = Records(services.store, experiment.name)
        for step in plan_steps(experiment):
            inputs = step.inputs(outcome.made)
            artefact = await records.find(step.key, inputs)
            if artefact is None:
                begin = time.monotonic()
                artefact = await make(step, Workplace(experiment, stack, site, services, outcome.made))
                await records.keep(step.key, inputs, artefact)
                note(f"{step.kind} {step.name}: made {artefact.name} ({time.monotonic() - begin:.1f} s)")
            else:
                outcome.reused.append(step.key)
                note(f"{step.kind} {step.name}: reused {artefact.name}")
            outcome.made[step.key] = artefact
    return outcome


async def make(step: Step, place: Workplace) -> Artefact:
    with progress(f"{step.kind} {step.name}") as bar:
        bar.update("starting what it needs", 0, 0)
        place.site.start(*step.components)
        return await place.site.watched(step.make(place, bar))
