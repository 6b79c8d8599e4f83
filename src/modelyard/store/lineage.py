"""What a node has seen of its database, so that it refuses one that is behind: an old primary that comes back.

A promoted replica begins a new *timeline*, which PostgreSQL numbers. The old primary keeps its number when it is
started again, and takes writes as before. A node that has seen the newer timeline, or a revision that the database does
not have, does not use it: each write there would be one that the new primary lacks.

    <home>/seen-<identity>             the greatest revision of the models
    <home>/seen-<identity>-<system>    the greatest timeline of one PostgreSQL cluster; copies have another system

All processes of a node map the files. Without a home, a process knows what it has seen itself.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from modelyard import errors
from modelyard.store import schema
from modelyard.store.shared_counter import SharedCounter

# The names, among the counters, of the timeline and of the cluster. A standby has no timeline here.
TIMELINE, SYSTEM = "timeline", "system"

log = logging.getLogger(__name__)


class Lineage:
    """The marks of one database on one node. Threads may share it."""

    def __init__(self, home: Path | None, identity: str, *, accepts_older: bool = False) -> None:
        """With ``accepts_older``, the first answer lowers the marks: the operator accepts what the database lost."""
        self._home = home
        self._identity = identity
        self._accepts_older = accepts_older
        self._revision = _open_mark(home, f"seen-{identity}")
        self._system = 0
        self._timeline = _open_mark(None, "")
        self.problem: str | None = None

    @property
    def revision(self) -> int:
        """The greatest revision that this node has seen; a database that is asked after this has it."""
        return self._revision.value

    def note_revision(self, revision: int) -> None:
        """Note a committed revision."""
        self._revision.raise_to(revision)

    def check(self, counters: Mapping[str, int], seen_revision: int) -> None:
        """Raise Unavailable for the counters of a database that is behind; else note what they say.

        ``seen_revision`` is ``revision`` before the database was asked.
        """
        timeline, revision = counters.get(TIMELINE), counters[schema.MODEL_REVISION]
        if timeline is None:
            return  # a standby takes no writes, and may be behind
        if SYSTEM in counters and counters[SYSTEM] != self._system:
            self._open_timeline(counters[SYSTEM])
        if self._accepts_older:
            self._accepts_older = False
            self._revision.set_to(revision)
            self._timeline.set_to(timeline)
            seen_revision = revision
        if timeline < self._timeline.value:
            self._refuse(f"its timeline is {timeline}, and this node has seen {self._timeline.value}")
        if revision < seen_revision:
            self._refuse(f"its revision is {revision}, and this node has seen {seen_revision}")
        self._timeline.raise_to(timeline)
        self._revision.raise_to(revision)
        if self.problem is not None:
            self.problem = None
            log.info("the database has what this node has seen, and is used again")

    def close(self) -> None:
        """Close the files."""
        self._revision.close()
        self._timeline.close()

    def _open_timeline(self, system: int) -> None:
        old = self._timeline
        self._timeline = _open_mark(self._home, f"seen-{self._identity}-{system}")
        self._system = system
        old.close()

    def _refuse(self, reason: str) -> None:
        error = errors.Unavailable(
            f"the database is behind what this node has seen ({reason}), so this node does not use it: an old primary"
            " was started again, or commits were lost; see docs/operate/scale.md"
        )
        if self.problem != error.message:
            self.problem = error.message
            log.error("%s", error.message)
        raise error


class _ProcessMark:
    """A mark of one process."""

    def __init__(self) -> None:
        self.value = 0

    def raise_to(self, value: int) -> None:
        self.value = max(self.value, value)

    def set_to(self, value: int) -> None:
        self.value = value

    def close(self) -> None:
        pass


def _open_mark(home: Path | None, name: str) -> SharedCounter | _ProcessMark:
    return _ProcessMark() if home is None else SharedCounter(home / name, slot=0)
