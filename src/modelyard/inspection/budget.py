"""The cost that checking one file may have, over all its pickles, members and archives inside archives.

Each step pays before it works. Whoever cannot pay raises OverBudget: the rest of the file is not looked at, so the file
is not clean.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one file. An SDXL checkpoint's pickle has about 75,000 opcodes in 0.4 MB, and 2,500 members."""

    opcodes: int = 1_000_000
    # Bytes that are walked, and bytes that are unpacked.
    bytes: int = 256 << 20
    # Moves of container items: what APPENDS, SETITEMS, TUPLE and calls with lists touch in all.
    work: int = 8_000_000
    members: int = 30_000
    seconds: float = 60.0


DEFAULT_LIMITS: Final = Limits()


class OverBudget(Exception):
    """A limit of the file is reached; the text says which."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Budget:
    """What is left of the limits of one file."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.opcodes = limits.opcodes
        self.bytes = limits.bytes
        self.work = limits.work
        self.members = limits.members
        self._clock = clock
        self._end_at = clock() + limits.seconds

    def spend_opcode(self) -> None:
        """Pay for one opcode."""
        self.opcodes -= 1
        if self.opcodes < 0:
            raise OverBudget(f"has more than {self.limits.opcodes:,} opcodes")
        if not self.opcodes & 0xFFF:
            self.check_time()

    def spend_bytes(self, count: int) -> None:
        """Pay for bytes that are read from a pickle, or unpacked."""
        if count > self.bytes:
            self.bytes = 0
            raise OverBudget(f"is longer than {self.limits.bytes:,} bytes")
        self.bytes -= count

    def spend_work(self, amount: int) -> None:
        """Pay for moving items between containers."""
        self.work -= amount
        if self.work < 0:
            raise OverBudget("moves more items than any model needs")

    def spend_members(self, count: int) -> None:
        """Pay for the members of an archive."""
        self.members -= count
        if self.members < 0:
            raise OverBudget(f"has more than {self.limits.members:,} members")
        self.check_time()

    def check_time(self) -> None:
        """Raise OverBudget if checking the file has taken too long."""
        if self._clock() > self._end_at:
            raise OverBudget(f"took longer than {self.limits.seconds:g} seconds to check")
