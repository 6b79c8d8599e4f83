"""A segment: some models in rank order, immutable, as numpy arrays in memory or in mapped files.

Row numbers follow the order of search results, rank descending then id descending; row 0 is the most popular.

    per row          neg_ranks, neg_ids      int64    negated, so that both ascend and ``bisect`` finds a position
                     text, text_at           bytes    folded sd_name, name and tags, divided by line feeds
                     further, further_at     bytes    what filter.search finds beside the text (fulltext.py)
                     records, record_at      bytes    rendered and packed records, placeholders included
                     summaries, summary_at   bytes    rendered summaries of the hub's lists, whose parts are shared
                     row_filters, …_at       uint32   the numbers of the filters the row is in
                     name_keys, …_at         bytes    the key by which the row is sorted by name
                     titles, title_at        bytes    the title that cards of the gallery show
                     groups                  int64    the key of the row's version group; 0 without one
                     leads                   uint32   the first row of the row's group; itself without a group
    per order        order_rows, order_places, order_keys: see order.py
    per segment      sorted_ids, id_rows              id → row
                     hash_keys, hash_rows             file hash → rows; sorted, repeated where files agree
                     group_keys, group_rows           version group → rows; sorted, then by row
                     filter_names, …_at               the names of all filters, by number
                     filter_rows             int64    how many rows each filter has
                     words, word_…                    the words of the most popular rows (``words``)
                     phrases, phrase_at               the frequent phrases (``phrases``), each of which has a set
    per tier         set_keys                int64    sorted (``keys``)
                     set_at, set_bytes                where the set lies in ``set_blob``; a set of one row has no bytes,
                                                      its row is stored instead, as -1 - row
                     set_blob                         portable roaring bitmaps

The values of row (or filter) n lie from ``at[n]`` to ``at[n + 1]``, so there is one offset more than rows.

Tiers cut the rows at 16 Ki, 64 Ki, 256 Ki, 1 Mi …. A query runs tier by tier: one with many matches ends in the first
tier whatever the catalogue's size, and one with few matches reads small sets. The segment deserialises a set on first
use and keeps it in a bounded cache.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from pyroaring import BitMap

from modelyard.domain import Position
from modelyard.index.budget import Spend, units_of_load
from modelyard.index.filter_columns import FilterColumns
from modelyard.index.order import BY_NUMBER, NAME, NO_KEY, ORDERS, Order
from modelyard.index.segment_arrays import DTYPES, Array, SegmentArrays, TierArrays
from modelyard.index.set_cache import SetCache
from modelyard.index.string_column import Check, StringColumn
from modelyard.index.terms import FILTER_KEY_MIN, FURTHER

TIER_FIRST = 1 << 14
TIER_GROWTH = 4
# The cache limit of one worker, in serialised bytes; a set in memory takes about twice its serialised size.
CACHE_BYTES_MAX = 48 << 20
# The limit of what is computed from a segment and cached; a small segment has less.
COMPUTED_BYTES_MAX = 24 << 20
# The share of the cache of sets that may stay for good.
_PINNED_SHARE = 4
_COMPUTED_BYTES_A_ROW = 64
_COMPUTED_BYTES_MIN = 1 << 20
# Nearly all version groups have at most so many rows.
_GROUP_COLUMNS = 16


class Bound(Enum):
    """The two sets that need no bitmap: no row of the tier, or every row."""

    NONE = 0
    ALL = 1


NONE: Final = Bound.NONE
ALL: Final = Bound.ALL
All = Literal[Bound.ALL]
# The keys of sets whose union holds a row; behind COMPLEMENT, a key that is negative, none of the sets holds it.
Keys = tuple[int, ...]
COMPLEMENT: Final = -1
# A set within one tier. With ``Bound.ALL`` a catalogue of public models need not intersect with the set "public".
TierSet = BitMap | Bound


def tier_bounds(count: int) -> list[int]:
    """Return the rows at which tiers start, and ``count`` at the end: [0, 16384, 65536, …, count]."""
    bounds, bound = [0], TIER_FIRST
    while bound < count:
        bounds.append(bound)
        bound *= TIER_GROWTH
    return [*bounds, count]


class Segment:
    """Reads rows and sets; its only state is the caches.

    ``computed`` caches what other modules compute from the segment, under keys of their own.
    """

    def __init__(
        self,
        arrays: SegmentArrays,
        tiers: list[TierArrays],
        *,
        checks: Mapping[str, Check] | None = None,
        cache_bytes_max: int = CACHE_BYTES_MAX,
        has_further: bool = False,
    ) -> None:
        self.arrays = arrays
        self.tiers = tiers
        self.count = len(arrays.neg_ids)
        self.is_prepared = False  # see ``preparation``
        self.filters = FilterColumns(
            arrays.filter_names, arrays.filter_name_at, arrays.filter_rows, arrays.row_filters, arrays.row_filter_at
        )
        bytes_max = max(self.count * _COMPUTED_BYTES_A_ROW, _COMPUTED_BYTES_MIN)
        self.computed = SetCache(min(bytes_max, COMPUTED_BYTES_MAX))
        self._orders: dict[str | None, Order] = {}
        self.bounds = tier_bounds(self.count)
        # Memoryviews hand out Python integers three times faster than numpy's indexing (150 → 43 ns, 2026-11).
        self._neg_ranks = arrays.neg_ranks.data
        self._neg_ids = arrays.neg_ids.data
        checks = checks or {}
        self._texts = StringColumn(arrays.text, arrays.text_at, checks.get("text"))
        self._records = StringColumn(arrays.records, arrays.record_at, checks.get("records"))
        self._summaries = StringColumn(arrays.summaries, arrays.summary_at, checks.get("summaries"))
        self._names = StringColumn(arrays.name_keys, arrays.name_key_at, checks.get("name_keys"))
        self._titles = StringColumn(arrays.titles, arrays.title_at, checks.get("titles"))
        self._checks = checks
        self._check_sets = [checks.get(f"set_blob_{tier}") for tier in range(len(tiers))]
        self._further = StringColumn(arrays.further, arrays.further_at, checks.get("further"))
        self.own_text, self.further = self._texts.one, self._further.one
        self.has_further = has_further
        self._searching: Segment | None = None
        # The segment whose sets of filters, and what follows from columns, this one uses.
        self._origin: Segment = self
        self.text = self._joined_text if has_further else self._texts.one
        self.texts = self._joined_texts if has_further else self._texts.some
        self.records = self._records.some
        self.summary = self._summaries.one
        self._tiers = [(t.set_keys.data, t.set_at.data, t.set_bytes.data, t.set_blob.data) for t in tiers]
        self._cache: list[dict[object, TierSet]] = [{} for _ in tiers]
        self._pinned: list[dict[object, TierSet]] = [{} for _ in tiers]
        self._cache_bytes = self._pinned_bytes = 0
        self._cache_bytes_max = cache_bytes_max

    @property
    def searching(self) -> "Segment":
        """The segment as ``filter.search`` sees it: the text of a row is both texts, and a gram is in both its sets."""
        if self._searching is None:
            self._searching = Segment(
                self.arrays,
                self.tiers,
                checks=self._checks,
                cache_bytes_max=self._cache_bytes_max // 2,
                has_further=True,
            )
            self._searching.filters = self.filters
            self._searching._origin = self
        return self._searching

    # --- rows

    def _joined_text(self, row: int) -> bytes:
        return b"%b\n%b" % (self._texts.one(row), self._further.one(row))

    def _joined_texts(self, rows: Sequence[int]) -> list[bytes]:
        both = zip(self._texts.some(rows), self._further.some(rows), strict=True)
        return [b"%b\n%b" % texts for texts in both]

    def rendered(self, rows: Sequence[int], is_summary: bool) -> list[bytes]:
        """Return the records of rows, or their summaries."""
        return self._summaries.some(rows) if is_summary else self._records.some(rows)

    def order(self, row: int) -> tuple[int, int]:
        """Return (-rank, -id) of a row, the key by which the search merges rows of several segments."""
        return self._neg_ranks[row], self._neg_ids[row]

    def position(self, row: int) -> Position:
        """Return the position of a row in the order of search results."""
        return Position(-self._neg_ranks[row], -self._neg_ids[row])

    def sorted_by(self, name: str | None) -> Order:
        """Return an order of the rows; None is their own, by popularity."""
        order = self._orders.get(name)
        if order is None:
            order = self._orders[name] = self._load_order(name)
        return order

    def _load_order(self, name: str | None) -> Order:
        def id_of(row: int) -> int:
            return -self._neg_ids[row]

        if name is None:
            return Order(None, None, self.count, self.count, lambda row: -self._neg_ranks[row], id_of)
        arrays, count = self.arrays, self.count
        number = ORDERS.index(name)
        low, high = number * count, (number + 1) * count
        for array in ("order_rows", "order_places", "order_keys"):
            if check := self._checks.get(array):
                size = np.dtype(DTYPES[array]).itemsize
                check.touch(low * size, min(high * size, getattr(arrays, array).nbytes))
        rows, places = arrays.order_rows[low:high], arrays.order_places[low:high]
        if name == NAME:
            return Order(rows, places, count, count, self._names.one, id_of)
        keys = arrays.order_keys[low:high]
        numbers = keys.data
        keyed = int(np.count_nonzero(keys != NO_KEY))
        return Order(rows, places, keyed, count, lambda row: _known(numbers[row]), id_of)

    def sort_keys(self, row: int) -> tuple[int | None, ...]:
        """Return the keys of a row in the orders by number."""
        return tuple(self.sorted_by(name).key_of(row) for name in BY_NUMBER)

    def name_key(self, row: int) -> bytes:
        """Return the key by which a row is sorted by name."""
        return self._names.one(row)

    def title(self, row: int) -> bytes:
        """Return the title of a row."""
        return self._titles.one(row)

    def group(self, row: int) -> int:
        """Return the key of a row's version group; 0 without one."""
        return int(self.arrays.groups[row])

    @cached_property
    def group_columns(self) -> tuple[list[Array], Array, Array]:
        """The rows of all version groups as columns: the first rows of the groups, the second ones of those that have
        two, and so on, the largest groups first. Then the rows that are left of large groups, and the group of each."""
        if self._origin is not self:
            return self._origin.group_columns
        keys, rows = self.arrays.group_keys, self.arrays.group_rows
        starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
        sizes = np.diff(starts, append=len(keys))
        order = np.argsort(-sizes, kind="stable")
        starts, sizes = starts[order], sizes[order]
        columns = [rows[starts[sizes > number] + number] for number in range(_GROUP_COLUMNS)]
        left = np.maximum(sizes - _GROUP_COLUMNS, 0)
        owners = np.repeat(np.arange(len(sizes)), left)
        places = np.arange(len(owners)) + np.repeat(starts + _GROUP_COLUMNS - np.cumsum(left) + left, left)
        return [column for column in columns if len(column)], rows[places], owners

    def row_after(self, position: Position) -> int:
        """Return the first row that stands after ``position``; ``count`` if none does."""
        low = bisect_left(self._neg_ranks, -position.rank)
        high = bisect_right(self._neg_ranks, -position.rank, low)
        return bisect_right(self._neg_ids, -position.id, low, high)

    def letters(self, low: int, high: int) -> Iterator[tuple[Array, Array]]:
        """Yield the texts of the rows from ``low`` to ``high`` end to end, and where each begins in them.

        With further texts, those come in the same way, afterwards.
        """
        columns = [(self._texts, self.arrays.text, self.arrays.text_at)]
        if self.has_further:
            columns.append((self._further, self.arrays.further, self.arrays.further_at))
        for column, letters, offsets in columns:
            at = offsets[low : high + 1]
            column.check(int(at[0]), int(at[-1]))
            yield letters[int(at[0]) : int(at[-1])], at - at[0]

    @cached_property
    def word_lengths(self) -> Array:
        """The length of each word in bytes, ascending."""
        return np.diff(self.arrays.word_at)

    @cached_property
    def phrases(self) -> dict[bytes, None]:
        """The phrases that have a set, the most frequent ones first."""
        at = self.arrays.phrase_at.tolist()
        return dict.fromkeys(self.arrays.phrases[low:high].tobytes() for low, high in pairwise(at))

    def check_blocks(self) -> Iterator[None]:
        """Check the arrays that are checked block by block, one block a step, so that no question has to."""
        for check in self._checks.values():
            for block in range(len(check.good)):
                check.touch(block << 16, (block << 16) + 1)
                yield

    def filter_names(self) -> Iterator[str]:
        """Yield the names of all filters that some row is in."""
        return map(self.filters.name, range(len(self.filters)))

    def row_of_id(self, model_id: int) -> int | None:
        """Return the row of a model, or None."""
        ids = self.arrays.sorted_ids.data
        at = bisect_left(ids, model_id)
        return int(self.arrays.id_rows[at]) if at < self.count and ids[at] == model_id else None

    def rows_of_ids(self, model_ids: Array) -> Array:
        """Return the rows of those ids that are here; ``model_ids`` is int64, any order."""
        at = np.searchsorted(self.arrays.sorted_ids, model_ids)
        at[at == self.count] = 0
        is_present = self.arrays.sorted_ids[at] == model_ids if self.count else np.zeros(len(at), bool)
        rows: Array = self.arrays.id_rows[at[is_present]]
        return rows

    def rows_of_hash(self, key: int) -> list[int]:
        """Return the rows whose file has this hash, ascending."""
        return sorted(_rows_of_key(key, self.arrays.hash_keys, self.arrays.hash_rows))

    def rows_of_group(self, key: int) -> list[int]:
        """Return the rows of a version group, ascending."""
        return _rows_of_key(key, self.arrays.group_keys, self.arrays.group_rows)

    # --- sets

    def tier_of(self, row: int) -> int:
        """Return the tier that holds a row; ``len(tiers)`` past the end."""
        return bisect_right(self.bounds, row) - 1 if row < self.count else len(self.tiers)

    def one(self, tier: int, key: int, spend: Spend = int) -> TierSet:
        """Return one set within a tier. Cost: a dictionary look-up; on first use a bisection and a deserialisation.

        ``spend`` is told the work of the first use before it is done, and may raise.
        """
        tier_set = self._cache[tier].get(key)
        return tier_set if tier_set is not None else self._load(tier, key, spend)

    def several(self, tier: int, keys: Keys, spend: Spend = int) -> list[TierSet]:
        """Return the sets of several filters within a tier."""
        if self._origin is not self:
            return self._origin.several(tier, keys, spend)
        get = self._cache[tier].get
        return [tier_set if (tier_set := get(key)) is not None else self._load(tier, key, spend) for key in keys]

    def any_of(self, tier: int, keys: Keys, spend: Spend = int) -> TierSet:
        """Return the union of several sets within a tier, or its complement, cached: queries repeat them."""
        tier_set = self._cache[tier].get(keys)
        if tier_set is not None:
            return tier_set
        is_complement = keys[0] == COMPLEMENT
        parts = [self.one(tier, key, spend) for key in keys[is_complement:]]
        bitmaps = [part for part in parts if isinstance(part, BitMap)]
        size = self.bounds[tier + 1] - self.bounds[tier]
        union: TierSet = ALL if ALL in parts else NONE
        if bitmaps and union is NONE:
            joined = BitMap.union(*bitmaps) if len(bitmaps) > 1 else bitmaps[0]
            union = ALL if len(joined) == size else joined
        if is_complement:
            union = self._complement(tier, union)
        # Roaring uses the smaller of two bytes for each row in the set and one bit for each row of the tier.
        self._keep(tier, keys, union, min(2 * len(union), size // 8) if isinstance(union, BitMap) else 0)
        return union

    def pin(self, tier: int, key: int) -> bool:
        """Load a set and keep it for good; False if there is no room for more of them."""
        if self._pinned_bytes > self._cache_bytes_max // _PINNED_SHARE:
            return False
        before = self._cache_bytes
        self._pinned[tier][key] = self.one(tier, key)
        self._pinned_bytes += max(self._cache_bytes - before, 0)
        return True

    def _complement(self, tier: int, tier_set: TierSet) -> TierSet:
        if isinstance(tier_set, BitMap):
            return BitMap(range(self.bounds[tier], self.bounds[tier + 1])) - tier_set
        return NONE if tier_set is ALL else ALL

    def _load(self, tier: int, key: int, spend: Spend) -> TierSet:
        if self._origin is not self and key >= FILTER_KEY_MIN:
            return self._origin.one(tier, key, spend)
        tier_set, size = self._stored(tier, key, spend)
        if self.has_further and key < FURTHER and tier_set is not ALL:
            further, further_size = self._stored(tier, key | FURTHER, spend)
            size += further_size
            if isinstance(tier_set, BitMap) and isinstance(further, BitMap):
                union = tier_set | further
                tier_set = ALL if len(union) == self.bounds[tier + 1] - self.bounds[tier] else union
            elif further is not NONE:
                tier_set = further
        self._keep(tier, key, tier_set, size)
        return tier_set

    def _stored(self, tier: int, key: int, spend: Spend) -> tuple[TierSet, int]:
        """Return a set as it is stored, and the size of its bytes."""
        keys, at, sizes, blob = self._tiers[tier]
        index = bisect_left(keys, key)
        tier_set: TierSet = NONE
        size = 0
        if index < len(keys) and keys[index] == key:
            start = at[index]
            spend(units_of_load(sizes[index]))
            if start < 0:
                bitmap = BitMap((-1 - start,))
            else:
                size = sizes[index]
                if check := self._check_sets[tier]:
                    check.touch(start, start + size)
                bitmap = BitMap.deserialize(blob[start : start + size].tobytes())
            tier_set = ALL if len(bitmap) == self.bounds[tier + 1] - self.bounds[tier] else bitmap
        return tier_set, size

    def _keep(self, tier: int, key: object, tier_set: TierSet, size: int) -> None:
        # 200 bytes: a dictionary's entry and an empty bitmap. Missing sets are cached too, and must count.
        self._cache_bytes += size + 200
        if self._cache_bytes > self._cache_bytes_max:
            for cache, pinned in zip(self._cache, self._pinned, strict=True):
                cache.clear()
                cache.update(pinned)
            self._cache_bytes = self._pinned_bytes + size + 200
        self._cache[tier][key] = tier_set


def _rows_of_key(key: int, keys: Array, rows: Array) -> list[int]:
    numbers = keys.data
    low = bisect_left(numbers, key)
    if low == len(numbers) or numbers[low] != key:
        return []
    return list(rows[low : bisect_right(numbers, key, low)].tolist())


def _known(key: int) -> int | None:
    return key if key != NO_KEY else None
