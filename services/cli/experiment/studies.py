"""The last step of an experiment: responses compared by judges, and the report that people read."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from services.cli.experiment.artefact import Artefact
from services.cli.experiment.requests import study_message
from services.cli.experiment.steps import Step, Workplace, system_step
from services.cli.output import message_to_dict
from services.shared.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.cli.experiment import document
    from services.cli.output import Progress


@dataclass(frozen=True)
class StudyStep(Step):
    study: document.Study
    # Judge models by the name that the file has for them, as step keys.
    judges: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "study"
    components = ("judging", "inference", "replica")

    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        return {
            "study": self.study.model_dump(),
            "responses": {name: made[f"responses-{name}"].digest for name in self.study.systems},
            "judges": {name: made[step].digest for name, step in self.judges},
        }

    async def make(self, place: Workplace, progress: Progress) -> Artefact:
        from lima.judging.v1 import judging_pb2 as judging

        models = {name: place.made[step].name for name, step in self.judges}
        for model in models.values():
            await place.services.load_model(model, progress)
        spec = self.message(place.made, models)
        study = await place.services.judging.CreateStudy(judging.CreateStudyRequest(spec=spec))
        operation = await place.services.judging.RunStudy(judging.RunStudyRequest(name=study.name))
        results = await place.services.follow("judging", operation, judging.Results(), progress)
        request = judging.CreateReportRequest(name=study.name, context_json=json.dumps(self.context(place)))
        operation = await place.services.judging.CreateReport(request)
        report = await place.services.follow("judging", operation, judging.Report(), progress)
        local = place.stack.layout.reports / f"{study.name.rpartition('/')[2]}.html"
        await asyncio.to_thread(place.services.store.download, place.services.store.key(report.html_uri), local)
        return Artefact(
            name=study.name,
            digest=study.digest,
            uri=report.html_uri,
            proof=place.services.store.key(report.html_uri),
            details={"results": message_to_dict(results), "report": str(local), "json_uri": report.json_uri},
        )

    def message(self, made: Mapping[str, Artefact], models: Mapping[str, str]) -> Any:
        """The study as the service takes it: models by resource name, and a name of its own per content."""
        judges = [{**judge, "model": models[judge["model"]]} for judge in self.study.judges]
        study = self.study.model_copy(update={"judges": judges})
        responses = {name: made[f"responses-{name}"].uri for name in study.systems}
        name = f"{self.name[:50]}-{digest_json(self.inputs(made))[:8]}"
        return study_message(name, study, responses)

    def context(self, place: Workplace) -> dict[str, Any]:
        """What a reader of the report wants to know of how the responses came to be."""
        written, made = place.experiment.document, place.made
        systems = {name: written.responses[name] for name in self.study.systems}
        return {
            "experiment": {"name": written.name, "title": written.title, "about": written.about},
            "datasets": [artefact_facts(made[f"dataset-{name}"]) for name in written.datasets],
            "runs": [artefact_facts(made[f"run-{name}"]) for name in written.runs],
            "models": [artefact_facts(made[f"model-{name}"]) for name in written.models],
            "systems": {
                name: {
                    "model": made[system_step(responses)].name,
                    "run": made[system_step(responses)].details.get("run", ""),
                    "responses": made[f"responses-{name}"].name,
                }
                for name, responses in systems.items()
            },
        }


def artefact_facts(artefact: Artefact) -> dict[str, Any]:
    return {"name": artefact.name, "digest": artefact.digest, "uri": artefact.uri, **artefact.details}
