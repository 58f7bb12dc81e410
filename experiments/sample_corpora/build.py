"""Build the sample corpora, in the true formats of their sources, from the texts in `written/`.

    python experiments/sample_corpora/build.py            # write every corpus again
    python experiments/sample_corpora/build.py --check    # only say what differs; exit 1 if anything does

People edit `written/` and run this; the built folders beside it are what `lima import` reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pushshift_dump
import stackexchange_dump
import wikihow_page
import yaml

HERE = Path(__file__).resolve().parent
WRITTEN = HERE / "written"
AUTHOR = "lima contributors"
LICENCE = "CC0-1.0"


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def build_stackexchange() -> Iterator[tuple[str, bytes]]:
    for path in sorted((WRITTEN / "stackexchange").glob("*.yaml")):
        for name, text in stackexchange_dump.site_files(read_yaml(path)).items():
            yield f"stackexchange/{path.stem}/{name}", text.encode()


def build_authored() -> Iterator[tuple[str, bytes]]:
    for group in ("A", "B"):
        prompts = read_yaml(WRITTEN / "authored" / f"group_{group.lower()}.yaml")
        yield f"authored/group_{group.lower()}.jsonl", json_lines(_authored(prompt, group) for prompt in prompts)


def _authored(prompt: dict[str, Any], group: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt["prompt"].strip()}]
    split = "test" if group == "B" else "dev"
    if "response" in prompt:
        messages.append({"role": "assistant", "content": prompt["response"].strip()})
        split = "train"
    return {
        "id": prompt["id"],
        "group": group,
        "split": split,
        "messages": messages,
        "author": AUTHOR,
        "licence": LICENCE,
        "tags": prompt["tags"],
    }


def build_wikihow() -> Iterator[tuple[str, bytes]]:
    for path in sorted((WRITTEN / "wikihow").glob("*.yaml")):
        yield f"wikihow/{path.stem}.html", wikihow_page.article_page(path.stem, read_yaml(path)).encode()


def build_reddit() -> Iterator[tuple[str, bytes]]:
    stories = read_yaml(WRITTEN / "reddit" / "writing_prompts.yaml")
    questions = read_yaml(WRITTEN / "reddit" / "ask_reddit.yaml")
    for name, records in (
        ("RS_WritingPrompts", pushshift_dump.submissions("WritingPrompts", stories)),
        ("RC_WritingPrompts", pushshift_dump.comments("WritingPrompts", stories)),
        ("RS_AskReddit", pushshift_dump.submissions("AskReddit", questions)),
    ):
        yield f"reddit/{name}.zst", pushshift_dump.compress(records)


def build_natural_instructions() -> Iterator[tuple[str, bytes]]:
    for path in sorted((WRITTEN / "natural_instructions").glob("*.yaml")):
        task = json.dumps(read_yaml(path), ensure_ascii=False, indent=4) + "\n"
        yield f"natural_instructions/{path.stem}.json", task.encode()


def build_dialogues() -> Iterator[tuple[str, bytes]]:
    dialogues = read_yaml(WRITTEN / "dialogues" / "dialogues.yaml")
    yield "dialogues/dialogues.jsonl", json_lines(_dialogue(dialogue) for dialogue in dialogues)


def _dialogue(dialogue: dict[str, Any]) -> dict[str, Any]:
    """Turns are written as a list of one-entry maps: `- user: ...`, `- assistant: ...`."""
    turns = [(role, text) for turn in dialogue["turns"] for role, text in turn.items()]
    messages = [{"role": role, "content": text.strip()} for role, text in turns]
    return {"id": dialogue["id"], "messages": messages, "author": AUTHOR, "licence": LICENCE, "tags": dialogue["tags"]}


def json_lines(records: Iterator[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


BUILDERS = (
    build_authored,
    build_dialogues,
    build_natural_instructions,
    build_reddit,
    build_stackexchange,
    build_wikihow,
)


def build_all() -> dict[PurePosixPath, bytes]:
    """Every built file, by its path below this folder."""
    return {PurePosixPath(path): content for builder in BUILDERS for path, content in builder()}


def differences(built: dict[PurePosixPath, bytes]) -> list[str]:
    """What a rebuild would change on disk, one line for each file."""
    found = []
    for path, content in built.items():
        if not (HERE / path).is_file():
            found.append(f"missing: {path}")
        elif _content(path, (HERE / path).read_bytes()) != _content(path, content):
            found.append(f"differs: {path}")
    return found + [f"no longer written: {path}" for path in left_over(built)]


def left_over(built: dict[PurePosixPath, bytes]) -> list[PurePosixPath]:
    """Files in the built folders that nothing in `written/` makes any more."""
    folders = sorted({path.parts[0] for path in built})
    present = (PurePosixPath(file.relative_to(HERE)) for name in folders for file in (HERE / name).rglob("*"))
    return sorted(path for path in present if path not in built and (HERE / path).is_file())


def _content(path: PurePosixPath, data: bytes) -> bytes:
    """What a file says: releases of Zstandard may compress the same text to different bytes."""
    return pushshift_dump.decompress(data) if path.suffix == ".zst" else data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a rebuild would")
    check = parser.parse_args().check
    built = build_all()
    if check:
        found = differences(built)
        print("\n".join(found) or f"{len(built)} files are what written/ says")
        return 1 if found else 0
    for path, content in built.items():
        target = HERE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for path in left_over(built):
        (HERE / path).unlink()
    print(f"wrote {len(built)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
