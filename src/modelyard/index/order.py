"""The other orders of a segment's rows: newest, updated, added, size and name.

    order_rows    uint32   for each order, the rows in that order: all rows, one order after another
    order_places  uint32   for each order, the place of each row in it
    order_keys    int64    for each order by number, the key of each row, ``NO_KEY`` where it is unknown
    name_keys     bytes    the key of each row by name; name_key_at divides them

In each order the greatest number comes first, names ascend, and the row with the greater id comes first of equal ones.
Rows without a key are last in both directions. A *walk* is an order in one direction, and numbers its rows from 0.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.domain import NAME_KEY_BYTES_MAX

BY_NUMBER = ("newest", "updated", "added", "size")
NAME: Final = "name"
ORDERS = (*BY_NUMBER, NAME)
NO_KEY: Final = -(2**63) + 1
NO_KEYS = (None,) * len(BY_NUMBER)

Array = npt.NDArray[Any]
# How rows compare in a walk: whether the key is unknown, the key, and the negative id.
SortKey = tuple[bool, Any, int]
_INVERTED = bytes(255 - byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Order:
    """One order of a segment. ``rows`` and ``places`` are None for the order of the rows themselves, by popularity.

    The first ``keyed`` rows of it have a key.
    """

    rows: Array | None
    places: Array | None
    keyed: int
    count: int
    key_of: Callable[[int], Any]
    id_of: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Walk:
    """An order in one direction. ``number`` counts its rows from 0."""

    name: str
    order: Order
    is_reversed: bool

    def rows_of(self, numbers: Array) -> Array:
        """Return the rows with these numbers."""
        order = self.order
        places = self._turned(numbers.astype(np.int64))
        return places.astype(np.uint32) if order.rows is None else order.rows[places]

    def numbers_of(self, rows: Array) -> Array:
        """Return the numbers of rows."""
        order = self.order
        return self._turned(rows if order.places is None else order.places[rows])

    def _turned(self, places: Array) -> Array:
        """Return the numbers of places, or the places of numbers."""
        if not self.is_reversed:
            return places
        keyed = self.order.keyed
        # Where ``places`` are unsigned, the rows without a key wrap around, and the next line leaves them out.
        turned = places.dtype.type(max(keyed - 1, 0)) - places
        # The rows without a key are last in both directions.
        return turned if keyed == self.order.count else np.where(places < keyed, turned, places)

    def row(self, number: int) -> int:
        """Return the row with a number."""
        order = self.order
        place = order.keyed - 1 - number if self.is_reversed and number < order.keyed else number
        return place if order.rows is None else int(order.rows[place])

    def sort_key(self, key: Any, model_id: int) -> SortKey:
        """Return how a row with this key and id compares with others: first is less."""
        if key is None:
            return True, 0, -model_id
        if isinstance(key, bytes):
            key = key.ljust(NAME_KEY_BYTES_MAX, b"\0")
            return False, key.translate(_INVERTED) if self.is_reversed else key, self._signed(-model_id)
        return False, self._signed(-key), self._signed(-model_id)

    def _signed(self, number: int) -> int:
        return -number if self.is_reversed else number

    def sort_key_of(self, row: int) -> SortKey:
        """Return how a row compares with others."""
        return self.sort_key(self.order.key_of(row), self.order.id_of(row))

    def number_after(self, key: Any, model_id: int) -> int:
        """Return the number of the first row behind this key and id."""
        target = self.sort_key(key, model_id)
        return bisect_right(range(self.order.count), target, key=lambda number: self.sort_key_of(self.row(number)))


class OrderColumns:
    """Collects the keys of rows while a segment is built, and sorts them at the end: 80 bytes a row meanwhile."""

    def __init__(self) -> None:
        self._numbers = [array("q") for _ in BY_NUMBER]
        self._names: list[Array] = []

    def add(self, keys: Sequence[Sequence[int | None]], names: Sequence[bytes]) -> None:
        """Add rows."""
        for column, values in zip(self._numbers, zip(*keys, strict=True), strict=True):
            column.extend([NO_KEY if value is None else value for value in values])
        self._names.append(np.array(names, f"S{NAME_KEY_BYTES_MAX}"))

    def finish(self, append: Callable[[str, Array], object], neg_ids: Array) -> None:
        """Write the arrays."""
        orders = []
        for column in self._numbers:
            keys = np.frombuffer(column, np.int64)
            append("order_keys", keys)
            orders.append(np.lexsort((neg_ids, -keys)))
        names = np.concatenate(self._names) if self._names else np.empty(0, f"S{NAME_KEY_BYTES_MAX}")
        words = names.view(">u8").reshape(-1, NAME_KEY_BYTES_MAX // 8)
        # The last key of ``lexsort`` decides first: the first eight bytes of the name, then the next ones.
        orders.append(np.lexsort((neg_ids, *(words[:, at] for at in reversed(range(words.shape[1]))))))
        places = np.empty(len(neg_ids), np.uint32)
        for rows in orders:
            append("order_rows", rows.astype(np.uint32))
            places[rows] = np.arange(len(rows), dtype=np.uint32)
            append("order_places", places)
