"""An answer with its confidence and its evidence."""

from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "unknown"

# How sure an answer is. Certain: the shape exists in one family only. Likely: no other family known to share it, or a
# trainer's own note. Plausible: fits, and others fit as well. Below "likely" an answer is a guess and shown as one.
CERTAIN: Final = 0.99
LIKELY: Final = 0.85
PLAUSIBLE: Final = 0.5
NONE: Final = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation: its rule, its tensor or metadata key, the value, and the conclusion."""

    rule: str
    source: str  # "tensor", "metadata", "format" or "name"
    name: str
    value: str
    says: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the fields, without an empty conclusion."""
        fields = {"rule": self.rule, "source": self.source, "name": self.name, "value": self.value}
        return fields | {"says": self.says} if self.says else fields


@dataclass(frozen=True, slots=True)
class Finding:
    """``value`` is "unknown" where it is not known. ``candidates`` are the values that the evidence cannot tell
    apart."""

    value: str = UNKNOWN
    confidence: float = NONE
    evidence: tuple[Evidence, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether there is an answer."""
        return self.value != UNKNOWN

    def to_json(self) -> dict[str, object]:
        """Return value, confidence and evidence, and candidates if there are any."""
        fields: dict[str, object] = {
            "value": self.value,
            "confidence": self.confidence,
            "evidence": [item.to_json() for item in self.evidence],
        }
        return fields | {"candidates": list(self.candidates)} if self.candidates else fields
