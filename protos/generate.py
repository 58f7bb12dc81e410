"""Generate the checked-in stubs from the .proto files, lint them, and say whether they drifted.

python protos/generate.py            write the stubs
python protos/generate.py --check    exit 1 if lint fails or a stub differs from what would be written
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import google.api
import google.longrunning
import google.rpc
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
LINT_CONFIG = PROTOS / "buf.yaml"


def collect_includes(folder: Path) -> None:
    """Lay Google's .proto files out under their canonical import paths.

    The package that ships them names operations.proto otherwise than its generated module
    registers it, so importing it by the shipped name breaks at run time.
    """
    for package in (google.api, google.rpc, google.longrunning):
        target = folder / package.__name__.replace(".", "/")
        target.mkdir(parents=True)
        for source in Path(next(iter(package.__path__))).glob("*.proto"):
            shutil.copy(source, target / source.name.replace("operations_proto", "operations"))


def run_protoc(includes: Path, *options: str) -> None:
    builtin = resources.files("grpc_tools") / "_proto"
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("lima/**/*.proto"))
    command = ["protoc", f"-I{PROTOS}", f"-I{includes}", f"-I{builtin}", *options, *files]
    if protoc.main(command) != 0:
        sys.exit("protoc failed: mend the .proto file named above, then run this again.")


def generate(includes: Path, target: Path) -> dict[Path, str]:
    """Write the stubs below `target`; return their texts by path relative to it."""
    run_protoc(includes, f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}")
    stubs: dict[Path, str] = {}
    for path in sorted(target.glob("lima/**/*_pb2*")):
        if path.suffix not in (".py", ".pyi"):
            continue
        if path.name.endswith("_pb2_grpc.py") and "Stub" not in path.read_text():
            path.unlink()  # messages only: the file would hold nothing
            continue
        stubs[path.relative_to(target)] = path.read_text()
    return stubs


def lint(includes: Path, folder: Path) -> int:
    image = folder / "image.binpb"
    run_protoc(includes, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}")
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or "buf"
    command = [buf, "lint", f"{image}#format=binpb", "--config", str(LINT_CONFIG)]
    return subprocess.run(command, check=False).returncode


def check(includes: Path, folder: Path) -> int:
    failed = lint(includes, folder)
    fresh = generate(includes, folder)
    present = {path.relative_to(PROTOS) for path in PROTOS.glob("lima/**/*_pb2*.py*") if path.suffix in (".py", ".pyi")}
    drifted = sorted(
        str(path)
        for path in present | set(fresh)
        if path not in present or fresh.get(path) != (PROTOS / path).read_text()
    )
    if drifted:
        print("stubs differ from their .proto files:", *drifted, sep="\n  ", file=sys.stderr)
        print("remedy: python protos/generate.py, and commit what it writes", file=sys.stderr)
    return 1 if failed or drifted else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on lint errors or drift")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        includes = Path(folder) / "includes"
        collect_includes(includes)
        if arguments.check:
            return check(includes, Path(folder))
        generate(includes, PROTOS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
