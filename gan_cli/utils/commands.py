"""Commands that a message suggests."""

import shlex
from pathlib import Path


def command(verb: str, *words: str | Path) -> str:
    """`gan VERB WORD ...` in backticks, quoted for a shell."""
    return f"`{shlex.join(['gan', verb, *map(str, words)])}`"
