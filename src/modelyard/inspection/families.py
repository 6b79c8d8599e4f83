"""The families that are known, as data: their bases and layouts, and which of them hold all of a file's layers.

``families.toml`` has one record a family; ``layouts.txt``, which scripts/layouts.py prints from published classes, has
the names, sizes and counts of their layers. A family whose layout holds every layer of a file is an answer; one left is
certain, several are candidates. The order never decides what fits, only which of those that fit is offered first.
"""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import inf
from typing import Any

from modelyard.inspection.adapters import Shape
from modelyard.inspection.findings import UNKNOWN
from modelyard.inspection.layers import Layers

# The variant of a family whose UNets differ by the channels of their input: inpainting has more.
BY_INPUTS = "by inputs"
# Bases are spelled as Civitai spells them; this one alone is ours, because headers tell no more.
SD2 = "SD 2.x"


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models whose files have the same layers."""

    name: str
    type: str
    architecture: str
    # Civitai's words for its bases, best first; several where the tensors cannot tell them apart.
    bases: tuple[str, ...] = ()
    # Bases that use this part alike: the part has no base of its own.
    shared: tuple[str, ...] = ()
    note: str = ""
    variant: str = UNKNOWN
    # How sure the first base is where nearly all of its files are of it, or where other bases use this part.
    led: float | None = None
    ids: tuple[str, ...] = ()
    # Families with a layout of the same names, sizes and counts.
    siblings: tuple[str, ...] = ()
    # Whether its layers are named as those of every language model, so that names alone do not tell it.
    common_names: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """One spelling of a family's layers: how many there are by name and size."""

    family: Family
    number: int  # its place among all layouts
    counts: Mapping[str, Mapping[Shape, int] | None]  # by name; ``None``: every size
    rows: int
    layers: int  # of all names and sizes; 0 where sizes, and so counts, are left open


@dataclass(frozen=True, slots=True)
class Match:
    """How well a layout explains a file."""

    layout: Layout
    explained: float  # the share of the file's layers that the layout has
    coverage: float  # the share of the layout's layers that the file has; of its names where it has no sizes

    @property
    def family(self) -> Family:
        """The family of the layout."""
        return self.layout.family


@cache
def read_records() -> Mapping[str, Mapping[str, Any]]:
    """Return ``families.toml`` as it stands."""
    return tomllib.loads(files(__package__).joinpath("families.toml").read_text("utf-8"))


@cache
def read_families() -> Mapping[str, Family]:
    """Return the records of ``families.toml`` by name."""
    records = read_records()
    return {name: _read_family(name, record, records) for name, record in records.items()}


def _read_family(name: str, record: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> Family:
    """``base_of`` names the family whose bases and architecture a part has."""
    network = record.get("base_of", name)
    bases = records[network]
    return Family(
        name=name,
        type=record.get("type", "checkpoint"),
        architecture=record.get("architecture", bases.get("architecture", network)),
        bases=tuple(bases.get("base", ())),
        shared=tuple(record.get("shared", ())),
        note=record.get("note", ""),
        variant=record.get("variant", UNKNOWN),
        led=record.get("led", bases.get("led")),
        ids=tuple(record.get("ids", ())),
        siblings=tuple(record.get("siblings", ())),
        common_names=record.get("common_names", False),
    )


def family_of_id(text: str) -> Family | None:
    """Return the family that a note names by an id; capitals, and what joins the words, do not matter."""
    return _families_by_id().get(_folded(text))


@cache
def _families_by_id() -> Mapping[str, Family]:
    return {_folded(word): family for family in read_families().values() for word in (family.name, *family.ids)}


def _folded(text: str) -> str:
    return text.strip().lower().replace("_", "-").replace(" ", "-")[:100]


@cache
def read_layouts() -> tuple[Layout, ...]:
    """Return the layouts, in the order of their families."""
    records = read_families()
    layouts: list[Layout] = []
    for block in ("\n" + files(__package__).joinpath("layouts.txt").read_text("utf-8")).split("\n= ")[1:]:
        title, *lines = block.rstrip("\n").split("\n")
        name, _, architecture = title.partition(" ")
        family = Family(architecture, name, architecture) if architecture else records[name]
        counts = {pattern: _read_sizes(sizes) for pattern, *sizes in map(str.split, lines)}
        rows = sum(1 if sizes is None else len(sizes) for sizes in counts.values())
        layers = sum(sum(sizes.values()) for sizes in counts.values() if sizes is not None)
        layers = 0 if None in counts.values() else layers
        layouts.append(Layout(family, len(layouts), counts, rows, layers))
    return tuple(layouts)


def _read_sizes(sizes: list[str]) -> dict[Shape, int] | None:
    if sizes[0].startswith("*"):
        return None
    pairs = (size.split(":") for size in sizes)
    return {tuple(map(int, size.split("x"))): int(count) for size, count in pairs}


# A row of a layout as it is looked up: the number of the layout, how many layers it has so, how many of its rows it is.
_Row = tuple[int, float, int]
# The size that stands for every size, in layouts that leave sizes open.
_EVERY: Shape = (-1,)


@cache
def _rows(is_adapter: bool) -> Mapping[tuple[str, Shape | None], Sequence[_Row]]:
    """The rows of all layouts by name and size; under ``None``, all sizes of a name together. An adapter shows of a
    convolution only how many inputs and outputs it has."""
    found: dict[tuple[str, Shape | None], list[_Row]] = defaultdict(list)
    for number, layout in enumerate(read_layouts()):
        for name, sizes in layout.counts.items():
            if sizes is None:
                found[name, _EVERY].append((number, inf, 1))
                continue
            found[name, None].append((number, sum(sizes.values()), len(sizes)))
            counts: Counter[Shape] = Counter()
            for size, count in sizes.items():
                counts[size[:2] if is_adapter else size] += count
            for size, count in counts.items():
                found[name, size].append((number, count, 1))
    return found


def match_layouts(layers: Layers) -> list[Match]:
    """Return the layouts that have layers of the file, those that explain most first."""
    explained: dict[int, int] = defaultdict(int)
    rows: dict[int, int] = defaultdict(int)
    layouts, by_size = read_layouts(), _rows(layers.is_adapter)
    for (name, size), count in layers.counts.items():
        for number, count_max, share in (*by_size.get((name, size), ()), *by_size.get((name, _EVERY), ())):
            if count <= count_max:
                explained[number] += count
                rows[number] += share
    total = layers.total or 1
    matches = []
    for number, count in sorted(explained.items()):
        layout = layouts[number]
        coverage = count / layout.layers if layout.layers else rows[number] / layout.rows
        matches.append(Match(layout, count / total, coverage))
    return sorted(matches, key=lambda match: (match.explained, match.coverage), reverse=True)
