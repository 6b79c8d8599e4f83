"""A session in a terminal as text: commands with what they print, so that a test compares all of it.

``$ modelyard …`` is a command. Below it are the lines of standard output, those of standard error with ``! `` before
them, and ``[code]`` if the exit code is not 0. What differs from run to run is replaced: keys, times, the folder.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelyard.cli import run

_REPLACEMENTS = (
    (r"\bsk_[\w-]+…?", "sk_KEY"),
    (r"\b20\d\d-\d\d-\d\d \d\d:\d\d\b", "DAY TIME"),
    (r"\b20\d\d-\d\d-\d\dT[\d:.+Z]+", "DAYTTIME"),
    (r"\b(\d:\d\d):\d\d\b", r"\1:SS"),
    (r'("seconds": \d+)\d\d\b', r"\1SS"),
    (r"\b1[7-9]\d{8}\b", "SECONDS"),
    (r"\b\d{10}-\d+-[0-9a-f]{8}\b", "SEGMENT"),
    (r"\b[\d,]+ rows", "N rows"),
    (r"http://127\.0\.0\.1:\d+", "http://SERVER"),
)


def replay(transcript: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the commands of a transcript in the current folder and return the transcript that results."""
    commands = [line for line in transcript.strip().split("\n") if line.startswith("$ ")]
    return "\n".join(line for command in commands for line in [command, *_run(command, folder, capsys)])


def _run(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Sequence[str]:
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert "modelyard" == program
    capsys.readouterr()
    code = run(arguments)
    captured = capsys.readouterr()
    out = _normalize(captured.out, folder)
    errors = ["! " + line for line in _normalize(captured.err, folder)]
    return [*out, *errors, *([f"[{code}]"] if code else [])]


def _normalize(text: str, folder: Path) -> list[str]:
    text = text.replace(str(folder), "~")
    for pattern, replacement in _REPLACEMENTS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    # Without the line below the headings of a table, and without the spaces that fill its last column.
    return [line.rstrip() for line in text.split("\n") if line.strip(" ─")]
