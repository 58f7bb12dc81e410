"""The dataset card: what is in a set, where it came from, under which terms, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.curation.funnel import Funnel
from services.curation.statistics import Statistics

# Table 1 of the paper, for comparison: (train, dev, test, prompt tokens, response tokens).
PAPER = (
    ("Stack Exchange (STEM)", 200, "", "", 117, 523),
    ("Stack Exchange (other)", 200, "", "", 119, 530),
    ("wikiHow", 200, "", "", 12, 1811),
    ("Pushshift r/WritingPrompts", 150, "", "", 34, 274),
    ("Natural Instructions", 50, "", "", 236, 92),
    ("Paper authors (group A)", 200, 50, "", 40, 334),
    ("Pushshift r/AskReddit", "", "", 70, 30, ""),
    ("Paper authors (group B)", "", "", 230, 31, ""),
)


def dataset_card(
    name: str, digest: str, spec: Mapping[str, Any], statistics: Statistics, funnels: Mapping[str, Funnel]
) -> str:
    counts = statistics.split_counts
    size = sum(counts.values())
    parts = [
        _front_matter(name, statistics),
        f"# {name}",
        f"{size} examples made with lima: {counts['train']} to train on, {counts['dev']} for development, "
        f"{counts['test']} to test. Version `{digest[:16]}`; `manifest.json` holds its inputs by digest.",
        "## What is in it",
        _table_one(statistics),
        "Tokens here are words, numbers and punctuation marks. For comparison, the LIMA paper's set:",
        _table(("source", "train", "dev", "test", "prompt tokens", "response tokens"), PAPER),
        "![Examples by source](figures/sources.svg)",
        "![Length of prompts](figures/prompt-lengths.svg)",
        "![Length of responses](figures/response-lengths.svg)",
        "## Diversity",
        f"{statistics.diversity_metric}: **{statistics.diversity:.1f}** of {statistics.diversity_sample}, which is "
        "how many examples the set would have if each were unlike all the others. Each source by itself:",
        _table(
            ("source", "effectively different prompts"),
            [(k, f"{v:.1f}") for k, v in statistics.source_diversity.items()],
        ),
        "![Diversity of the sources](figures/diversity.svg)",
        "## Licences and attribution",
        _table(("licence", "examples"), sorted(statistics.licences.items())),
        "Every example carries its author, licence, title and address in `attribution`, and in `provenance` the row "
        "of the corpus file it came from. Share what you derive under the terms of the licences named.",
        "## What was left out",
        *(_funnel(source, funnel) for source, funnel in funnels.items()),
        "## How it was made",
        "```json\n" + json.dumps(spec, indent=1, ensure_ascii=False, sort_keys=True) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(name: str, statistics: Statistics) -> str:
    """What the Hugging Face Hub reads of a card."""
    size = sum(statistics.split_counts.values())
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    category = next((label for limit, label in limits if size < limit), "1M<n<10M")
    files = [
        f"  - split: {hub}\n    path: {split}.jsonl"
        for split, hub in (("train", "train"), ("dev", "validation"), ("test", "test"))
        if statistics.split_counts[split]
    ]
    lines = [
        "---",
        f"pretty_name: {name}",
        "license: other",
        "license_name: mixed",
        "task_categories:",
        "- text-generation",
    ]
    lines += ["size_categories:", f"- {category}", "configs:", "- config_name: default", "  data_files:", *files, "---"]
    return "\n".join(lines)


def _table_one(statistics: Statistics) -> str:
    sources: dict[str, dict[str, Any]] = {}
    for row in statistics.rows:
        entry = sources.setdefault(
            row.source, {"train": "", "dev": "", "test": "", "n": 0, "prompt": 0.0, "response": 0.0}
        )
        entry[row.split] = row.examples
        entry["n"] += row.examples
        entry["prompt"] += row.mean_prompt_tokens * row.examples
        entry["response"] += row.mean_response_tokens * row.examples
    rows = [
        (source, e["train"], e["dev"], e["test"], f"{e['prompt'] / e['n']:.0f}", f"{e['response'] / e['n']:.0f}")
        for source, e in sources.items()
    ]
    totals = statistics.split_counts
    rows.append(("**total**", totals["train"], totals["dev"], totals["test"], "", ""))
    return _table(("source", "train", "dev", "test", "prompt tokens", "response tokens"), rows)


def _funnel(source: str, funnel: Funnel) -> str:
    rows = []
    left = funnel.entered
    for step in funnel.steps:
        rows.append((step.filter, left, step.removed))
        left -= step.removed
    note = f"\n\n{funnel.malformed_count} malformed records were skipped." if funnel.malformed_count else ""
    return (
        f"### {source}\n\n" + _table(("filter", "entered", "removed"), rows) + f"\n\n{left} left to choose from." + note
    )


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(value).replace("|", "\\|") for value in row) + " |" for row in rows]
    return "\n".join(lines)
