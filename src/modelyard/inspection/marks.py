"""Marks: a few tensors that tell a family, for files that no layout explains: parts, upscalers, embeddings, old forms.

A mark stands in its family's record in ``families.toml``, as words with spaces between them:

    conv_in.weight             the file has this tensor
    conv_in.weight[1]=4|9      its size along an axis is one of these
    blocks.3.*                 the file has a tensor whose name begins so
    !mlp_t5.0.weight           the file has no such tensor
    @only                      the file has no tensors but those of the mark; other words with @ are below

Names are those behind the prefixes that the file has. Where several marks fit, that of the kind that holds the others
is taken (a checkpoint holds a VAE), and then the one that asks for most: the order of the records does not matter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from modelyard.inspection.families import Family, read_families, read_records
from modelyard.inspection.findings import CERTAIN
from modelyard.inspection.header import Header

# What can hold what stands behind it. ControlNets of some programs hold the whole checkpoint.
_KINDS = (
    *("controlnet", "lora", "checkpoint", "ipadapter", "t2iadapter", "other", "motionmodule", "textualinversion"),
    *("hypernetwork", "upscaler", "detection", "vae", "vaeapprox", "clip", "clipvision", "textencoder"),
)
_SIZE = re.compile(r"(.+)\[(-?\d+)\]=([\d|]+)")


@dataclass(frozen=True, slots=True)
class Size:
    """A tensor's size along one axis is one of ``sizes``."""

    tensor: str
    axis: int
    sizes: frozenset[int]

    def holds(self, header: Header, prefix: str) -> bool:
        """Whether it is so in this header."""
        shape = header.shape(prefix + self.tensor)
        return shape is not None and -len(shape) <= self.axis < len(shape) and shape[self.axis] in self.sizes


@dataclass(frozen=True, slots=True)
class Mark:
    """What is seen of a family in few tensors, and how sure its type then is."""

    name: str
    family: Family
    needs: tuple[str, ...]
    begins: tuple[str, ...]
    lacks: tuple[str, ...]
    sizes: tuple[Size, ...]
    words: tuple[str, ...]
    confidence: float

    def matches(self, header: Header, prefix: str) -> bool:
        """Whether a header has what the mark asks for under a prefix."""
        tensors = header.tensors
        return (
            all(prefix + name in tensors for name in self.needs)
            and not any(prefix + name in tensors for name in self.lacks)
            and all(size.holds(header, prefix) for size in self.sizes)
            and all(any(name.startswith(prefix + start) for name in tensors) for start in self.begins)
            and all(_SHAPES[word](self, header, prefix) for word in self.words)
        )

    @property
    def rank(self) -> tuple[int, int]:
        """What is tried first: lower."""
        return _KINDS.index(self.family.type), -len(self.needs) - len(self.sizes) - len(self.begins) - len(self.words)


def first_match(header: Header, prefixes: Sequence[str]) -> tuple[Mark, str] | None:
    """Return the mark that fits best, and under which of the prefixes."""
    for mark in read_marks():
        for prefix in prefixes:
            if mark.matches(header, prefix):
                return mark, prefix
    return None


@cache
def read_marks() -> tuple[Mark, ...]:
    """Return the marks of all families, those to be tried first in front."""
    families = read_families()
    marks = [
        _read_mark(families[name], mark["name"], mark["has"].split(), mark.get("sure", CERTAIN))
        for name, record in read_records().items()
        for mark in record.get("marks", ())
    ]
    return tuple(sorted(marks, key=lambda mark: mark.rank))


def _read_mark(family: Family, name: str, conditions: Sequence[str], confidence: float) -> Mark:
    needs: dict[str, None] = {}
    sizes: list[Size] = []
    for condition in conditions:
        if size := _SIZE.fullmatch(condition):
            sizes.append(Size(size[1], int(size[2]), frozenset(map(int, size[3].split("|")))))
        if condition[0] not in "!@" and condition[-1] != "*":
            needs[size[1] if size else condition] = None
    return Mark(
        name=name,
        family=family,
        needs=tuple(needs),
        begins=tuple(condition[:-1] for condition in conditions if condition[-1] == "*"),
        lacks=tuple(condition[1:] for condition in conditions if condition[0] == "!"),
        sizes=tuple(sizes),
        words=tuple(condition for condition in conditions if condition[0] == "@"),
        confidence=confidence,
    )


def _has_no_others(mark: Mark, header: Header, _: str) -> bool:
    return len(header.tensors) == len(mark.needs)


def _are_vectors(_: Mark, header: Header, __: str) -> bool:
    """Whether every tensor is a few vectors: at most 256 tokens, of a text encoder's width."""
    return all(
        len(tensor.shape) in (1, 2)
        and tensor.shape[-1] in (768, 1024, 1280, 2048, 2560, 4096)
        and tensor.parameters <= 256 * 4096
        for tensor in header.tensors.values()
    )


# A1111's textual inversions, and those of diffusers, whose tensor is called as the new word.
_EMBEDDING = re.compile(r"emb_params|string_to_param(\.\*)?|<.{1,200}>|\*|string_to_param\..{1,200}")


def _embedding_of(width: int) -> Callable[[Mark, Header, str], bool]:
    def holds(mark: Mark, header: Header, prefix: str) -> bool:
        return (
            len(header.tensors) == 1
            and _EMBEDDING.fullmatch(next(iter(header.tensors))) is not None
            and _are_vectors(mark, header, prefix)
            and next(iter(header.tensors.values())).shape[-1] == width
        )

    return holds


# A1111's hypernetworks: a pair of networks for each width.
_HYPERNETWORK = re.compile(r"(320|640|768|1024|1280)\.[01]\.(linear\.\d+\.|linear[12]\.)?(weight|bias)")


def _hypernetwork(*, is_wide: bool) -> Callable[[Mark, Header, str], bool]:
    def holds(_: Mark, header: Header, __: str) -> bool:
        return (
            all(map(_HYPERNETWORK.fullmatch, header.tensors))
            and any(name.startswith("1024.") for name in header.tensors) == is_wide
        )

    return holds


def _is_compact(_: Mark, header: Header, prefix: str) -> bool:
    """SRVGGNetCompact: convolutions with activations between them, in one list."""
    first, second, third = (header.shape(f"{prefix}body.{number}.weight") or () for number in range(3))
    return (
        first[1:] == (3, 3, 3)
        and (len(second), len(third)) == (1, 4)
        and all(name.startswith(prefix + "body.") for name in header.tensors)
    )


_SHAPES: Mapping[str, Callable[[Mark, Header, str], bool]] = {
    "@only": _has_no_others,
    "@vectors": _are_vectors,
    "@embedding-768": _embedding_of(768),
    "@embedding-1024": _embedding_of(1024),
    "@embedding-1280": _embedding_of(1280),
    "@hypernetwork": _hypernetwork(is_wide=False),
    "@hypernetwork-1024": _hypernetwork(is_wide=True),
    "@compact": _is_compact,
}
