"""The header of a model file: its tensors' names, types and shapes, and its metadata.

The readers of all formats return this class, so identification does not depend on the format.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple


class Tensor(NamedTuple):
    """One tensor. A named tuple and not a dataclass: a header holds thousands, and it is made three times faster."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """A file's tensors by name, in the file's order, and its metadata."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    # Where the tensors stood inside a pickled object, such as "params_ema"; empty for other formats.
    wrapper: str = ""

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a tensor's shape, ``None`` if there is no such tensor."""
        tensor = self.tensors.get(name)
        return tensor.shape if tensor is not None else None
