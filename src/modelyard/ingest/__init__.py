"""Outside records → domain records. Generators that read and judge; nothing in here writes to the catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was read and not taken.

    ``where`` leads a person to it (``models.jsonl.xz:17: model 23, version 25``), ``reason`` is one of a few sentences
    that a summary can count, ``detail`` is what is particular to this case.
    """

    where: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" + (f": {self.detail}" if self.detail else "")
