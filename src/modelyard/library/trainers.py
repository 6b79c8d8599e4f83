"""What trainers write into the files they make: kohya's scripts, OneTrainer, ai-toolkit → who made it, when, its name.

Knows the header's notes only. A note is what a program wrote; where it is silent, the file's own time is taken.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

# From 2020 on: an earlier time is a clock that was not set.
_TIME_MIN, _TIME_MAX = 1_577_836_800, 2**33


@dataclass(frozen=True, slots=True)
class Training:
    """``trainer`` is None where no program we know wrote a note. ``finished_at`` is in Unix seconds."""

    trainer: str | None
    output_name: str | None
    finished_at: int
    steps: int | None = None
    epochs: int | None = None


def read_training(metadata: Mapping[str, str], modified_at: int) -> Training:
    """Return what a header tells of its training; ``modified_at`` is the file's own time, in Unix seconds."""
    progress = _object(metadata.get("training_info"))
    return Training(
        trainer=_trainer(metadata),
        output_name=_first(metadata, "ss_output_name", "name", "modelspec.title"),
        finished_at=_finished_at(metadata) or modified_at,
        steps=_number(metadata.get("ss_steps")) or _number(progress.get("step")),
        epochs=_number(metadata.get("ss_epoch")) or _number(progress.get("epoch")),
    )


def trained_name(finished_at: int, sha256: str, extension: str) -> str:
    """Return what a trained model is called: ``model_<unix time>_<first 10 hex>.safetensors``."""
    return f"model_{finished_at}_{sha256[:10].upper()}.{extension}"


def _trainer(metadata: Mapping[str, str]) -> str | None:
    software = str(_object(metadata.get("software")).get("name", ""))
    if software == "ai-toolkit" or "toolkit" in metadata.get("modelspec.implementation", ""):
        return "ai-toolkit"
    if any(key.startswith("ot_") for key in metadata):
        return "OneTrainer"
    if "ss_network_module" in metadata or "ss_training_started_at" in metadata:
        return "kohya"
    return None


def _finished_at(metadata: Mapping[str, str]) -> int | None:
    for key in ("ss_training_finished_at", "ss_training_started_at"):
        if (seconds := _number(metadata.get(key))) and _TIME_MIN <= seconds < _TIME_MAX:
            return seconds
    date = metadata.get("modelspec.date", "")
    try:
        told = datetime.fromisoformat(date)
    except ValueError:
        return None
    seconds = int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())
    return seconds if _TIME_MIN <= seconds < _TIME_MAX else None


_NUMBER = re.compile(r"([0-9]{1,12})(\.[0-9]*)?")


def _number(told: object) -> int | None:
    read = _NUMBER.fullmatch(str(told).strip())
    return int(read[1]) if read else None


def _object(text: str | None) -> dict[str, object]:
    try:
        told = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _first(metadata: Mapping[str, str], *keys: str) -> str | None:
    found = (" ".join(metadata.get(key, "").split()) for key in keys)
    return next((text[:200] for text in found if text and text.isprintable()), None)
