"""The request header ``Range`` (RFC 9110, 14): the bytes of a file that a client requests."""

import re
from dataclasses import dataclass

from modelyard import errors

# aria2 and browsers request one range. A large number is an attack: each range costs a header and a seek.
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
    """Return the requested ranges in their order; empty if the header is ignored, which RFC 9110 allows.

    Raises RangeNotSatisfiable if the header is valid, and the file has none of the bytes.
    """
    unit, _, rest = header.strip().partition(b"=")
    if unit.strip().lower() != b"bytes" or len(header) > 1024:
        return []
    parts = [part for part in rest.split(b",") if part.strip()]
    if not parts or len(parts) > RANGES_MAX:
        return []
    ranges = []
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None or not (match[1] or match[2]):
            return []
        if match[1]:
            first, last = int(match[1]), int(match[2]) if match[2] else size_bytes - 1
            if match[2] and last < first:
                return []
        else:
            first, last = max(size_bytes - int(match[2]), 0), size_bytes - 1
        if first < size_bytes:
            ranges.append(ByteRange(first, min(last, size_bytes - 1)))
    if not ranges:
        raise errors.RangeNotSatisfiable(size_bytes)
    # Overlapping ranges could request the file many times; the whole file answers them all.
    return ranges if sum(part.size_bytes for part in ranges) <= size_bytes else []
