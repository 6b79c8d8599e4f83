"""How much work one question may take.

The unit is the reading of one row's text, about 0.4 µs. Other work is converted: the scan of a row's text among its
neighbours, a set, a count of one value. Units do not depend on the clock, so a question always gets equally far.
"""

from collections.abc import Callable

# A scan of many rows, see ``letters``: so many of them cost as much as reading one, and so many that hold the term.
SCAN_SHARE = 50
MATCH_SHARE = 4
# Reading a text and the further one, and joining them, takes so many times as long as reading one.
FURTHER_SHARE = 3
# Intersecting one set of a tier.
SET_UNITS = 20
# Looking for a set in the files, and reading so many bytes of it: once, then the segment has it in memory.
LOAD_UNITS = 20
LOAD_BYTES = 256

Spend = Callable[[int], object]

# What a question may take on the event loop, less than 1 ms; what is dearer runs in a thread.
QUICK_UNITS = 1_500
# What finding words that match may take in a suggestion, about 0.5 ms.
SUGGESTION_UNITS = 1_000
# What looking whether a term is known may take there, about 0.1 ms. A term that takes more counts as not there: it is
# nowhere, or in few models.
KNOWN_UNITS = 250
# What a count or facets may take, about 10 ms; what is dearer is estimated.
QUESTION_UNITS = 20_000


def units_of_load(size_bytes: int) -> int:
    """Return the work of reading a set from the files."""
    return LOAD_UNITS + size_bytes // LOAD_BYTES


class OverBudgetError(Exception):
    """A question has used its budget."""


def units_of_scan(rows: int, matches: int) -> int:
    """Return the work of scanning rows of which so many may hold the term."""
    return rows // SCAN_SHARE + matches // MATCH_SHARE


class Budget:
    """Counts the work of one question.

    A count and facets end at ``limit`` with an estimate. A page has to be exact, so it continues, unless the budget
    ``is_quick``: then the question raises ``OverBudgetError``, and is asked again where it keeps nobody waiting.
    """

    __slots__ = ("_has_reserve", "is_quick", "limit", "used")

    def __init__(self, limit: float = float("inf"), *, is_quick: bool = False) -> None:
        self.limit = limit
        self.is_quick = is_quick
        self.used = 0
        self._has_reserve = True

    def spend(self, units: int) -> None:
        """Count work before it is done. Raises OverBudgetError if it is too much."""
        if self.used + units > self.limit:
            raise OverBudgetError
        self.used += units

    def open_reserve(self) -> None:
        """Allow a quarter more, once, to find what needs no reading when the budget is used."""
        if self._has_reserve:
            self._has_reserve = False
            self.limit += self.limit // 4

    def spend_on_page(self, units: int) -> None:
        """Count work of a page."""
        if self.is_quick:
            self.spend(units)
        else:
            self.used += units


def quick_budget() -> Budget:
    """Return the budget of a question on the event loop."""
    return Budget(QUICK_UNITS, is_quick=True)


def question_budget() -> Budget:
    """Return the budget of a question in a thread."""
    return Budget(QUESTION_UNITS)
