"""Reads what trainers write into headers: which trainer made a file, when, and under what name.

Knows kohya's scripts, OneTrainer and ai-toolkit. If the header has no time, the file's own time is used.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

# From 2020 on: an earlier time comes from a clock that was not set.
_TIME_MIN, _TIME_MAX = 1_577_836_800, 2**33


@dataclass(frozen=True, slots=True)
class Training:
    """``trainer`` is None if no known program wrote the header. ``finished_at`` is in Unix seconds."""

    trainer: str | None
    output_name: str | None
    finished_at: int
    steps: int | None = None
    epochs: int | None = None


def read_training(metadata: Mapping[str, str], modified_at: int) -> Training:
    """Return what a header says about its training; ``modified_at`` is the file's own time, in Unix seconds."""
    progress = _parse_object(metadata.get("training_info"))
    return Training(
        trainer=_find_trainer(metadata),
        output_name=_find_text(metadata, "ss_output_name", "name", "modelspec.title"),
        finished_at=_read_finish_time(metadata) or modified_at,
        steps=_parse_number(metadata.get("ss_steps")) or _parse_number(progress.get("step")),
        epochs=_parse_number(metadata.get("ss_epoch")) or _parse_number(progress.get("epoch")),
    )


def _find_trainer(metadata: Mapping[str, str]) -> str | None:
    software = str(_parse_object(metadata.get("software")).get("name", ""))
    if software == "ai-toolkit" or "toolkit" in metadata.get("modelspec.implementation", ""):
        return "ai-toolkit"
    if any(key.startswith("ot_") for key in metadata):
        return "OneTrainer"
    if "ss_network_module" in metadata or "ss_training_started_at" in metadata:
        return "kohya"
    return None


def _read_finish_time(metadata: Mapping[str, str]) -> int | None:
    for key in ("ss_training_finished_at", "ss_training_started_at"):
        if (seconds := _parse_number(metadata.get(key))) and _TIME_MIN <= seconds < _TIME_MAX:
            return seconds
    date = metadata.get("modelspec.date", "")
    try:
        time = datetime.fromisoformat(date)
    except ValueError:
        return None
    seconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    return seconds if _TIME_MIN <= seconds < _TIME_MAX else None


_NUMBER = re.compile(r"([0-9]{1,12})(\.[0-9]*)?")


def _parse_number(value: object) -> int | None:
    match = _NUMBER.fullmatch(str(value).strip())
    return int(match[1]) if match else None


def _parse_object(text: str | None) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _find_text(metadata: Mapping[str, str], *keys: str) -> str | None:
    texts = (" ".join(metadata.get(key, "").split()) for key in keys)
    return next((text[:200] for text in texts if text and text.isprintable()), None)
