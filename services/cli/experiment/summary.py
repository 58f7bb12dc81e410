"""What a person sees when an experiment has ended: three short tables and where the report lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.cli.output import next_commands, table

if TYPE_CHECKING:
    from services.cli.experiment.runner import Outcome
    from services.cli.experiment.spec import Experiment


def as_json(experiment: Experiment, outcome: Outcome) -> dict[str, Any]:
    return {
        "experiment": experiment.name,
        "reused": outcome.reused,
        "artefacts": {
            key: {"name": made.name, "digest": made.digest, "uri": made.uri, **made.details}
            for key, made in outcome.made.items()
        },
    }


def show(experiment: Experiment, outcome: Outcome) -> None:
    for name, dataset in outcome.of_kind("dataset").items():
        show_dataset(name, dataset.details)
    for name, run in outcome.of_kind("run").items():
        show_run(name, run.details)
    for name, study in outcome.of_kind("study").items():
        show_study(name, study.details)
    suggest(experiment, outcome)


def show_dataset(name: str, details: Any) -> None:
    rows: dict[str, dict[str, int]] = {}
    for key, count in details["source_counts"].items():
        source, _, split = key.rpartition("/")
        rows.setdefault(source, {})[split] = count
    columns = ("train", "dev", "test")
    body = [[source, *(counts.get(split, 0) for split in columns)] for source, counts in sorted(rows.items())]
    total = ["total", *(details["split_counts"].get(split, 0) for split in columns)]
    print()
    table(["source", *columns], [*body, total], title=f"dataset {name}: examples per source")


def show_run(name: str, details: Any) -> None:
    perplexities = details["dev_perplexity_per_epoch"]
    rows = [
        [epoch, loss, perplexities[epoch - 1] if epoch <= len(perplexities) else None]
        for epoch, loss in enumerate(details["loss_per_epoch"], start=1)
    ]
    print()
    table(["epoch", "training loss", "dev perplexity"], rows, title=f"run {name}: {details['steps']} steps")


def show_study(name: str, details: Any) -> None:
    results = details["results"]
    rows = [
        [
            f"{pair['first']} against {pair['second']}",
            pair["judge"],
            *(share(pair.get(outcome)) for outcome in ("win", "tie", "lose")),
            share(pair.get("flip_rate")),
            pair.get("win", {}).get("n", ""),
        ]
        for pair in results.get("pairs", [])
    ]
    if rows:
        print()
        columns = ["systems", "judge", "win", "tie", "lose", "flips with sides", "n"]
        table(columns, rows, title=f"study {name} (95% intervals)")
    scores = [
        [score["system"], score["judge"], interval(score.get("mean")), score.get("mean", {}).get("n", "")]
        for score in results.get("scores", [])
    ]
    if scores:
        print()
        table(["system", "judge", "mean", "n"], scores, title=f"study {name} (95% intervals)")
    for warning in results.get("warnings", []):
        print(f"warning: {warning}")


def share(estimate: Any) -> str:
    """A share with its interval, in percent.

    >>> share({"value": 0.5, "low": 0.25, "high": 0.75})
    '50% [25, 75]'
    """
    if not estimate:
        return ""
    low, value, high = (100 * estimate.get(key, 0.0) for key in ("low", "value", "high"))
    return f"{value:.0f}% [{low:.0f}, {high:.0f}]"


def interval(estimate: Any) -> str:
    if not estimate:
        return ""
    low, value, high = (estimate.get(key, 0.0) for key in ("low", "value", "high"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def suggest(experiment: Experiment, outcome: Outcome) -> None:
    reports = [study.details["report"] for study in outcome.of_kind("study").values()]
    if reports:
        print()
        for report in reports:
            print(f"report: {report}")
    runs = list(outcome.of_kind("run"))
    datasets = [made.name for made in outcome.of_kind("dataset").values()]
    commands = ["lima up                          keep the stack running and use it by hand"]
    commands += [f"lima chat {name:<22} talk to the tuned model" for name in runs[:1]]
    commands += [f"lima datasets show {name}" for name in datasets[:1]]
    commands += [f"lima run {experiment.path}   run it again: everything that exists is reused"]
    next_commands(*commands)
