"""The command line of a training job.

    python -m training_jobs run --spec SPEC.yaml [--set recipe.epochs=3] [--engine bare]
    python -m training_jobs plan --spec SPEC.yaml

The last line on stdout is one JSON object. Exit code 0: done; 1: refused or failed, with the reason on stderr;
3: stopped when asked, start it again to go on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from services.shared.errors import Cancelled, LimaError
from services.shared.logs import configure
from services.shared.settings import Settings
from training_jobs.spec import MAX_SPEC_BYTES, TrainingSpec, load_spec, spec_from_text


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        configure(settings, "training")
        engine = [f"compute.engine={options.engine}"] if options.engine else []
        spec = _spec(options, (*options.set, *engine))
        print(_COMMANDS[options.command](spec, settings))
    except Cancelled as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 3
    except LimaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _spec(options: argparse.Namespace, overrides: tuple[str, ...]) -> TrainingSpec:
    if options.spec_env:
        return spec_from_text(os.environ.get(options.spec_env, ""), f"${options.spec_env}", overrides)
    if options.spec == "-":
        return spec_from_text(sys.stdin.read(MAX_SPEC_BYTES + 1), "standard input", overrides)
    return load_spec(Path(options.spec), overrides)


def _run(spec: TrainingSpec, settings: Settings) -> str:
    from training_jobs.driver import run

    return run(spec, settings).model_dump_json()


def _plan(spec: TrainingSpec, settings: Settings) -> str:
    import json

    from training_jobs.planning import plan_report

    report = plan_report(spec, settings)
    print("\n".join(report.lines()), file=sys.stderr)
    return json.dumps(report.as_json())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=sorted(_COMMANDS))
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--spec", help="YAML or JSON file with the run's settings; - reads standard input")
    source.add_argument("--spec-env", metavar="VARIABLE", help="environment variable that holds the same as text")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override one setting")
    parser.add_argument("--engine", choices=("ray", "bare"), help="short for --set compute.engine=...")
    return parser


_COMMANDS = {"run": _run, "plan": _plan}

if __name__ == "__main__":
    sys.exit(main())
