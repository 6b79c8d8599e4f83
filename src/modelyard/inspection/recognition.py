"""Says what a file is, by the families whose layouts hold all of its layers.

Belief follows from the share of the layers that a layout explains, and from how much of the layout the file has: below
nine tenths nothing is said here; a file that is only a part of its layout is likely at most.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard.inspection.adapters import Adapter
from modelyard.inspection.families import SD2, Family, Match, match_layouts
from modelyard.inspection.findings import CERTAIN, LIKELY, NONE, PLAUSIBLE, UNKNOWN, Evidence, Finding
from modelyard.inspection.header import Header
from modelyard.inspection.layers import Layers, adapted_layers, layers_of, prefixes_of, without_prefix, without_sizes

# A file is explained if so many of its layers are; some trainers add a layer or two.
EXPLAINED_MIN = 0.9
_WHOLE, _PART = 0.97, 0.5
# Layouts that are compared by names alone, as upscalers' are, must be there nearly whole.
_DIFFUSION = "model.diffusion_model."


@dataclass(frozen=True, slots=True)
class Recognition:
    """The families that a file may belong to, and how well they fit; ``prefix`` stands before its names."""

    families: tuple[Family, ...]
    explained: float
    coverage: float
    layers: int
    prefix: str = ""
    has_sizes: bool = True

    @property
    def first(self) -> Family:
        """The family that is offered first."""
        return self.families[0]

    @property
    def is_whole(self) -> bool:
        """Whether the file has everything that the family's files have."""
        return self.explained == 1 and self.coverage >= _WHOLE

    @property
    def confidence(self) -> float:
        """How sure the type and the family are."""
        if len({family.type for family in self.families}) > 1:
            return PLAUSIBLE
        if self.is_whole:
            return CERTAIN
        return LIKELY if self.coverage >= _PART and self.explained >= EXPLAINED_MIN else PLAUSIBLE

    def evidence(self) -> Evidence:
        """What was seen."""
        names = ", ".join(dict.fromkeys(family.name for family in self.families))
        seen = f"{self.explained:.0%} of {self.layers} layers are {names}'s"
        says = self.first.note or ("" if len(self.families) == 1 else f"these layers are in each of {names}"[:300])
        return Evidence("layout", "tensor", f"layers of {self.prefix}" if self.prefix else "layers", seen[:300], says)

    def base(self) -> Finding:
        """The base model, with its candidates."""
        return base_of(self.families, self.confidence, (self.evidence(),), has_sizes=self.has_sizes)


def base_of(
    families: Sequence[Family], confidence: float, evidence: tuple[Evidence, ...], *, has_sizes: bool = True
) -> Finding:
    """Return the base model that families leave, with its candidates; ``confidence`` is that of the families."""
    every = tuple(dict.fromkeys(base for family in families for base in family.bases))
    # Names alone tell only a base that each of the families may have.
    bases = every if has_sizes else tuple(base for base in every if all(base in family.bases for family in families))
    if not bases:
        shared = tuple(dict.fromkeys(base for family in families for base in family.shared))
        return Finding(UNKNOWN, NONE, evidence, shared or every)
    # A name of ours for several bases is no candidate beside them.
    candidates = bases[bases[0] == SD2 :] if len(bases) > 1 else ()
    led = [family.led for family in families if family.led is not None and family.bases[0] == bases[0]]
    if len(bases) > 1 and len(led) < len(families):
        return Finding(bases[0], PLAUSIBLE, evidence, candidates)
    return Finding(bases[0], min([confidence, *led]), evidence, candidates)


def recognise_model(header: Header) -> Recognition | None:
    """Return the families of a file that is no adapter, ``None`` if no layout explains it."""
    return recognise_layers(layers_of(header))


def recognise_layers(layers: Layers) -> Recognition | None:
    """Return the families of the layers of a file that is no adapter."""
    found = prefixes_of(layers)
    prefixes = (_DIFFUSION,) if _DIFFUSION in found else found
    best: Recognition | None = None
    for prefix in prefixes:
        inner = without_prefix(layers, prefix) if prefix else layers
        recognition = _recognise(match_layouts(inner), inner, prefix) if inner.counts else None
        if recognition is not None and (best is None or recognition.layers > best.layers):
            best = recognition
    return best


def recognise_adapter(adapter: Adapter) -> Recognition | None:
    """Return the families of the layers that an adapter changes, ``None`` if no layout has them."""
    layers = adapted_layers(adapter)
    for spelling in (layers, without_sizes(layers)):
        has_sizes = any(size is not None for _, size in spelling.counts)
        matches = [match for match in match_layouts(spelling) if _tells(match.family, has_sizes=has_sizes)]
        if fits := _fitting(matches):
            return Recognition(_in_order(fits), fits[0].explained, 1.0, layers.total, has_sizes=has_sizes)
    return None


def _tells(family: Family, *, has_sizes: bool) -> bool:
    """Whether layers of an adapter tell a family: some are named as those of every language model."""
    return family.type == "checkpoint" and (has_sizes or not family.common_names)


def _recognise(matches: Sequence[Match], layers: Layers, prefix: str) -> Recognition | None:
    fits = _fitting([match for match in matches if not _is_thin(match)])
    if not fits:
        return None
    coverage = max(match.coverage for match in fits)
    nearest = [match for match in fits if match.coverage == coverage]
    has_sizes = all(sizes is not None for sizes in nearest[0].layout.counts.values())
    return Recognition(_in_order(nearest), nearest[0].explained, coverage, layers.total, prefix, has_sizes)


def _fitting(matches: Sequence[Match]) -> list[Match]:
    """The layouts that hold every layer; where there are none, those that hold most."""
    if not matches or matches[0].explained < EXPLAINED_MIN:
        return []
    return [match for match in matches if match.explained == matches[0].explained]


def _is_thin(match: Match) -> bool:
    """Whether a layout without sizes has too little in the file to say anything."""
    has_no_sizes = any(sizes is None for sizes in match.layout.counts.values())
    return has_no_sizes and (match.coverage < EXPLAINED_MIN or match.layout.rows < 3)


def _in_order(matches: Iterable[Match]) -> tuple[Family, ...]:
    """The families, each once, in the order of their records."""
    families = {match.family.name: match.family for match in sorted(matches, key=lambda match: match.layout.number)}
    return tuple(families.values())
