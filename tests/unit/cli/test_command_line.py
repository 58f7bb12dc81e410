"""The command line itself: quick help, lazy imports, one message and an exit code for each failure."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from services.cli import failure
from services.cli.main import COMMANDS, load_command, main
from services.shared import errors

HEAVY = ("torch", "transformers", "ray", "deepspeed", "kubernetes", "grpc", "minio", "numpy", "rich.table")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", *words], capture_output=True, text=True, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, services.cli.main as m\n"
        "try: m.main(['--help'])\n"
        "finally: print(sorted(sys.modules), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert [name for name in HEAVY if f"'{name}'" in loaded] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_its_help_begins_with_examples(name: str) -> None:
    command = load_command(name)
    leaves = list(getattr(command, "commands", {}).values()) or [command]
    for leaf in leaves:
        assert (leaf.help or "").lstrip("\b\n").startswith("Examples:"), leaf.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json(name: str) -> None:
    command = load_command(name)
    for leaf in list(getattr(command, "commands", {}).values()) or [command]:
        assert any("--json" in option.opts for option in leaf.params), leaf.name


def test_a_missing_file_is_one_message_with_a_remedy_and_no_trace() -> None:
    ended = run("run", "nowhere.yaml")
    assert ended.returncode == failure.NOT_FOUND
    assert ended.stderr.splitlines()[0] == "error: there is no experiment file 'nowhere.yaml'"
    assert "remedy: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_debug_shows_the_trace() -> None:
    assert "Traceback" in run("run", "nowhere.yaml", "--debug").stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    ended = run("nonsense")
    assert ended.returncode == failure.BAD_INPUT
    assert "nonsense" in ended.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("seed", -1, "must be at least 0"), 2),
        (errors.NotFound("dataset", "datasets/x/y"), 3),
        (errors.Unavailable("nobody answers"), 4),
        (errors.FailedPrecondition("a stack runs already"), 5),
        (errors.AlreadyExists("run", "runs/x"), 5),
        (OSError(errno.ENOSPC, "No space left on device", "/somewhere"), 5),
        (KeyboardInterrupt(), 130),
        (ValueError("a defect"), 1),
    ],
)
def test_each_failure_has_its_exit_code(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report_failure(error) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_names_the_file_and_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    failure.report_failure(OSError(errno.ENOSPC, "No space left on device", "/somewhere"))
    told = capsys.readouterr().err
    assert "/somewhere" in told
    assert "LIMA_STATE_DIR" in told


def test_usage_errors_of_typer_leave_with_their_code() -> None:
    with pytest.raises(SystemExit) as left:
        main(["run"])
    assert left.value.code == 2
