"""The filters of a segment as columns: the rows' own filters, the field of each, and how many rows have it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from modelyard.domain import squeeze
from modelyard.index.terms import filter_key

Numbers = npt.NDArray[np.int64]

_TAG = b"tag="
# A tag in fewer rows proves little of a term, and there are many such tags.
FREQUENT_ROWS = 64
_FREQUENT_MAX = 1 << 14
_NAMED_MAX = 5_000
# The keys of so many tags are kept; facets seldom count more.
_KEPT_TAGS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a field: their names without the field, and the numbers and keys of their filters."""

    names: tuple[str, ...]
    numbers: npt.NDArray[np.int32]
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FrequentTags:
    """The frequent tags end to end, the most frequent ones first, each with a line feed behind it.

    ``at`` is where each begins, ``numbers`` the numbers of their filters.
    """

    letters: npt.NDArray[np.uint8]
    at: Numbers
    numbers: npt.NDArray[np.int32]


class FilterColumns:
    """What counting needs to know of the filters of a segment, by their numbers.

    ``row_counts`` is the number of rows that have each filter.
    """

    def __init__(
        self,
        names: npt.NDArray[np.uint8],
        name_at: Numbers,
        row_counts: Numbers,
        row_filters: npt.NDArray[np.uint32],
        row_filter_at: Numbers,
    ) -> None:
        self._names = names
        self._name_at = name_at
        self.row_counts = row_counts
        self._row_filters = row_filters
        self._row_filter_at = row_filter_at
        self._values: dict[str, Values] = {}

    def __len__(self) -> int:
        """Return the number of filters."""
        return len(self._name_at) - 1

    @cached_property
    def is_tag(self) -> npt.NDArray[np.bool_]:
        """Whether each filter is a tag."""
        return self._starts_with(_TAG)

    @cached_property
    def tags(self) -> npt.NDArray[np.int32]:
        """The numbers of all tags, the most frequent ones first."""
        return self.sort_by(self.row_counts, np.flatnonzero(self.is_tag))

    @cached_property
    def frequent_tags(self) -> FrequentTags:
        """The tags that ``FREQUENT_ROWS`` rows have. A search of all tags takes ten times as long at a million rows."""
        numbers = self.tags[:_FREQUENT_MAX]
        numbers = numbers[self.row_counts[numbers] >= FREQUENT_ROWS]
        names = [self.name(number).encode()[len(_TAG) :] + b"\n" for number in numbers.tolist()]
        at = np.cumsum(np.array([0, *map(len, names)], np.int64))
        return FrequentTags(np.frombuffer(b"".join(names), np.uint8), at[:-1], numbers)

    @cached_property
    def tag_names(self) -> tuple[list[str], list[tuple[str, int]]]:
        """The most frequent tags, which are offered and found, and the letters of each with its place, in order."""
        names = [self.name(number).partition("=")[2] for number in self.tags[:_NAMED_MAX].tolist()]
        return names, sorted((squeeze(name), at) for at, name in enumerate(names))

    def values(self, field: str) -> Values:
        """Return the values of a field of which each row has one, the most frequent ones first."""
        values = self._values.get(field)
        if values is None:
            numbers = np.flatnonzero(self._starts_with(f"{field}=".encode()))
            values = self._values[field] = self._values_of(self.sort_by(self.row_counts, numbers))
        return values

    def tag_values(self, at: int, size: int) -> Values:
        """Return ``size`` tags from the place ``at`` of their order on, the most frequent ones first."""
        name = f"{_TAG.decode()}{at}+{size}"
        values = self._values.get(name)
        if values is None:
            values = self._values_of(self.tags[at : at + size])
            if at < _KEPT_TAGS_MAX:
                self._values[name] = values
        return values

    def _values_of(self, numbers: npt.NDArray[np.int32]) -> Values:
        names = [self.name(number) for number in numbers.tolist()]
        return Values(tuple(name.partition("=")[2] for name in names), numbers, tuple(map(filter_key, names)))

    def counts_of(self, rows: npt.NDArray[np.uint32]) -> Numbers:
        """Return for each filter how many of the given rows have it. Cost: 0.3 µs a row, and 1 ns a filter."""
        at = self._row_filter_at
        starts = at[rows].astype(np.int64)
        lengths = at[rows.astype(np.int64) + 1] - starts
        if not lengths.all():
            starts, lengths = starts[lengths > 0], lengths[lengths > 0]
        if not len(starts):
            return np.zeros(len(self), np.int64)
        # The places of all filters of these rows are steps of one, but a jump to the first one of each row: in one
        # array, because new memory costs more than the sums.
        ends = np.cumsum(lengths)
        places = np.ones(int(ends[-1]), np.int64)
        places[0] = starts[0]
        places[ends[:-1]] = starts[1:] - starts[:-1] - lengths[:-1] + 1
        np.cumsum(places, out=places)
        return np.bincount(self._row_filters[places], minlength=len(self))

    def sort_by(self, counts: Numbers, numbers: npt.NDArray[np.signedinteger]) -> npt.NDArray[np.int32]:
        """Return filters by their counts, the greatest first, without those that have none."""
        numbers = numbers[counts[numbers] > 0]
        less = counts[numbers].max(initial=0) - counts[numbers]
        # numpy sorts 16-bit numbers by radix.
        is_short = less.max(initial=0) < 1 << 16
        return numbers[np.argsort(less.astype(np.uint16) if is_short else less, kind="stable")].astype(np.int32)

    def name(self, number: int) -> str:
        """Return a filter's name."""
        return self._names[int(self._name_at[number]) : int(self._name_at[number + 1])].tobytes().decode()

    def _starts_with(self, start: bytes) -> npt.NDArray[np.bool_]:
        low = self._name_at[:-1]
        is_so = np.diff(self._name_at) >= len(start)
        for at, letter in enumerate(start):
            reach = np.flatnonzero(is_so)
            is_so[reach] = self._names[low[reach] + at] == letter
        return is_so
