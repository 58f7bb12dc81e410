"""The LIMA paper's own numbers (Zhou et al. 2023), to stand beside a study's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PaperPair:
    """Shares of LIMA's wins, ties and losses against a baseline, over 300 prompts, judged by people."""

    baseline: str
    win: float
    tie: float
    lose: float


PAIRS = (
    PaperPair("Alpaca 65B", 0.53, 0.21, 0.26),
    PaperPair("DaVinci003", 0.44, 0.21, 0.35),
    PaperPair("Bard", 0.33, 0.25, 0.42),
    PaperPair("Claude", 0.24, 0.22, 0.54),
    PaperPair("GPT-4", 0.18, 0.25, 0.57),
)

# Tie-discounted agreement over 50 shared prompts.
AGREEMENT = {
    ("crowd", "crowd"): 0.82,
    ("author", "crowd"): 0.81,
    ("author", "author"): 0.78,
    ("crowd", "llm"): 0.78,
    ("author", "llm"): 0.79,
}

# Shares of Fail, Pass and Excellent over 50 prompts, and over 20 that resemble no training example.
ABSOLUTE = {"LIMA, 50 prompts": (0.12, 0.38, 0.50), "20 out of distribution": (0.20, 0.35, 0.45)}

# Share of the 30 sensitive prompts, and of the 10 with malicious intent among them, answered safely.
SAFE = {"all sensitive": 0.80, "malicious intent": 0.60}

# Mean helpfulness from 1 to 6 of a 7B model, by what it was tuned on (2,000 examples each).
LIKERT = {
    "Stack Exchange filtered": 3.83,
    "wikiHow": 3.49,
    "Stack Exchange unfiltered": 3.33,
}

# Shares of Fail, Pass and Excellent over the turns of 10 conversations.
DIALOGUE = {
    "without dialogue data": (15 / 42, 1 - 15 / 42 - 0.452, 0.452),
    "with 30 dialogues": (1 / 46, 1 - 1 / 46 - 0.761, 0.761),
}
