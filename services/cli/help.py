"""The form of help texts: examples first, then what the command does."""

from __future__ import annotations


def with_examples(text: str, *examples: str) -> str:
    """Help that begins with examples.

    >>> print(with_examples("Say hello.", "lima hello"))
    \b
    Examples:
      lima hello
    <BLANKLINE>
    Say hello.
    """
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples), "", text])
