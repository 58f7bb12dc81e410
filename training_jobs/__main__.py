"""The command line of a training job.

    python -m training_jobs run --spec SPEC.yaml [--set recipe.epochs=3] [--engine bare]
    python -m training_jobs plan --spec SPEC.yaml

The last line on stdout is one JSON object. Exit code 0: done; 1: refused or failed, with the reason on stderr;
3: stopped when asked, start it again to go on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.shared.errors import Cancelled, LimaError
from services.shared.logs import configure
from services.shared.settings import Settings
from training_jobs.spec import TrainingSpec, load_spec


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        configure(settings, "training")
        engine = [f"compute.engine={options.engine}"] if options.engine else []
        spec = load_spec(options.spec, (*options.set, *engine))
        print(_COMMANDS[options.command](spec, settings))
    except Cancelled as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 3
    except LimaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(spec: TrainingSpec, settings: Settings) -> str:
    from training_jobs.driver import run

    return run(spec, settings).model_dump_json()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--spec", type=Path, required=True, help="YAML or JSON file with the run's settings")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override one setting")
    parser.add_argument("--engine", choices=("ray", "bare"), help="short for --set compute.engine=...")
    return parser


_COMMANDS = {"run": _run}

if __name__ == "__main__":
    sys.exit(main())
