"""Judging: studies, judges (people and LLMs), verdicts, statistics and the report."""
