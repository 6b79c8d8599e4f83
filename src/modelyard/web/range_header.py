"""The request header ``Range`` (RFC 9110, 14): which bytes of a file are asked for."""

import re
from dataclasses import dataclass

from modelyard import errors

# aria2 and browsers ask for one. More than a few are an attack: each costs a header and a seek.
RANGES_MAX = 32
_RANGE = re.compile(rb"\s*([0-9]{0,18})-([0-9]{0,18})\s*")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        """How many bytes it holds."""
        return self.last - self.first + 1


def read_ranges(header: bytes, size_bytes: int) -> list[ByteRange]:
    """Return the ranges asked for, as asked; empty where the header has to be ignored, as it may be.

    Raises RangeNotSatisfiable where it can be read and no byte of it exists.
    """
    unit, _, rest = header.strip().partition(b"=")
    if unit.strip().lower() != b"bytes" or len(header) > 1024:
        return []
    parts = [part for part in rest.split(b",") if part.strip()]
    if not parts or len(parts) > RANGES_MAX:
        return []
    ranges = []
    for part in parts:
        found = _RANGE.fullmatch(part)
        if found is None or not (found[1] or found[2]):
            return []
        if found[1]:
            first, last = int(found[1]), int(found[2]) if found[2] else size_bytes - 1
            if found[2] and last < first:
                return []
        else:
            first, last = max(size_bytes - int(found[2]), 0), size_bytes - 1
            if not int(found[2]):
                continue
        if first < size_bytes:
            ranges.append(ByteRange(first, min(last, size_bytes - 1)))
    if not ranges:
        raise errors.RangeNotSatisfiable(size_bytes)
    # Ranges that overlap could ask for the file many times over; the whole answers them all.
    return ranges if sum(each.size_bytes for each in ranges) <= size_bytes else []
