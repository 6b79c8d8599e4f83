"""What a rule is, and the names of bases that several rules conclude.

Base models are spelled as Civitai spells them; "SD 2.x" alone is ours, because headers tell no more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from modelyard.inspection.findings import CERTAIN, PLAUSIBLE, UNKNOWN
from modelyard.inspection.header import Header

SD1 = "SD 1.5"
SD2 = "SD 2.x"
SDXL = "SDXL 1.0"
FLUX = "Flux.1 D"
# Of the models that Civitai listed as SD 1.x in July 2023, 1.3 % were 1.4: likely, not certain.
SD1_ALL = ("SD 1.5", "SD 1.4")
SD2_ALL = ("SD 2.0", "SD 2.0 768", "SD 2.1", "SD 2.1 768")
# Every one of these has SDXL's tensors, name for name and size for size.
SDXL_ALL = (
    "SDXL 1.0",
    "SDXL 0.9",
    "SDXL Turbo",
    "SDXL Lightning",
    "SDXL Hyper",
    "SDXL 1.0 LCM",
    "Pony",
    "Illustrious",
    "NoobAI",
)
FLUX_ALL = ("Flux.1 D", "Flux.1 Kontext", "Flux.1 Krea")
SDXL_NOTE = "Pony, Illustrious, NoobAI and the distilled SDXLs have the same tensors; headers cannot tell them apart"
SD1_NOTE = "SD 1.4 has the same tensors"
SD2_NOTE = "2.0 and 2.1, 512 and 768, epsilon and v-prediction have the same tensors"

WHOLE = "whole"
UNET = "unet"


@dataclass(frozen=True, slots=True)
class Size:
    """A tensor's size along one axis is one of ``sizes``."""

    tensor: str
    axis: int
    sizes: tuple[int, ...]

    def holds(self, header: Header, prefix: str) -> bool:
        """Whether it is so in this header."""
        shape = header.shape(prefix + self.tensor)
        return shape is not None and -len(shape) <= self.axis < len(shape) and shape[self.axis] in self.sizes


@dataclass(frozen=True, slots=True)
class Rule:
    """What a file is that has these tensors. Names are relative to a prefix out of ``prefixes``."""

    name: str
    type: str
    needs: tuple[str, ...]
    source: str
    architecture: str = UNKNOWN
    base_model: str = UNKNOWN
    lacks: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    prefixes: tuple[str, ...] = ("",)
    candidates: tuple[str, ...] = ()
    cannot_tell: str = ""
    confidence: float = CERTAIN
    # Where the base is less sure than the type. Not given: as sure, but only plausible if other bases share the
    # shape.
    base_confidence: float | None = None
    part: str = UNKNOWN
    # The tensor whose second size tells standard (4), inpainting (9), pix2pix (8) and depth (5) models apart.
    input_tensor: str = ""
    variant: str = UNKNOWN
    # For the few shapes of a file that a list of names cannot say.
    when: Callable[[Header, str], bool] | None = None

    @property
    def sureness_of_base(self) -> float:
        """How sure ``base_model`` is."""
        if self.base_confidence is not None:
            return self.base_confidence
        return PLAUSIBLE if len(self.candidates) > 1 else self.confidence

    def matches(self, header: Header, prefix: str) -> bool:
        """Whether a header has the rule's tensors under ``prefix``."""
        tensors = header.tensors
        return (
            all(prefix + name in tensors for name in self.needs)
            and not any(prefix + name in tensors for name in self.lacks)
            and all(size.holds(header, prefix) for size in self.sizes)
            and (self.when is None or self.when(header, prefix))
        )


class Details(TypedDict, total=False):
    """The fields of a rule that most rules leave out, for the short forms that make rules of one family."""

    lacks: tuple[str, ...]
    sizes: tuple[Size, ...]
    candidates: tuple[str, ...]
    cannot_tell: str
    confidence: float
    base_confidence: float
    variant: str
    when: Callable[[Header, str], bool]
