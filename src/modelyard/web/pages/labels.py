"""The labels that pages show for types, sources, layers, base models and dates."""

from datetime import UTC, datetime

from modelyard.domain import DATE_SECONDS_MAX, Source, fold_base, model_type
from modelyard.facts import Layer
from modelyard.store import Store

SOURCE_LABELS = {Source.CIVITAI: "Civitai", Source.TRAINING: "Trained here", Source.UPLOADING: "Uploaded"}
LAYER_LABELS = {
    Layer.GUESS: "guessed",
    Layer.HEADER: "from the file",
    Layer.UPSTREAM: "from upstream",
    Layer.SIDECAR: "from a sidecar file",
    Layer.USER: "set by the owner",
}


def get_type_label(name: str) -> str:
    """Return the label of a type: the API's display name, except for two that the API spells unusually."""
    return {"lora": "LoRA", "locon": "LoCon"}.get(name) or model_type(name).display_name


def read_base_model_labels(store: Store) -> dict[str, str]:
    """Read the spelling of each base model from the database. The keys are folded, as filters compare them."""
    return {fold_base(base.name): base.name for base in store.base_models()}


def format_day(seconds: int | None) -> str:
    """Return the day of a time in Unix seconds; empty for None."""
    return "" if seconds is None else datetime.fromtimestamp(min(seconds, DATE_SECONDS_MAX), UTC).strftime("%Y-%m-%d")


def format_minute(seconds: int) -> str:
    """Return the minute of a time in Unix seconds."""
    return datetime.fromtimestamp(min(seconds, DATE_SECONDS_MAX), UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_duration(seconds: float) -> str:
    """Return a duration in its largest unit, rounded down: 3 days."""
    for unit_seconds, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit_seconds:
            number = int(seconds // unit_seconds)
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
