"""The condition of a part that the server depends on: whether it works, and the reason if it does not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelyard import errors

# A failure that nothing repeated or disproved for so long says little about now.
_FAILURE_SECONDS_MAX = 300.0


class Condition:
    """The last failure of a part, until it works again. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failure: tuple[float, str] | None = None

    @property
    def problem(self) -> str | None:
        """Return why the part does not work; None if it works, as far as this process knows."""
        failure = self._failure
        if failure is None or self._clock() - failure[0] > _FAILURE_SECONDS_MAX:
            return None
        return failure[1]

    def note_failure(self, error: errors.Unavailable) -> None:
        """Store why a call failed."""
        self._failure = self._clock(), error.message

    def note_success(self) -> None:
        """Store that a call succeeded."""
        if self._failure is not None:
            self._failure = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note whether the block succeeds. Errors other than Unavailable say nothing about the part."""
        try:
            yield
        except errors.Unavailable as error:
            self.note_failure(error)
            raise
        self.note_success()
