"""Models of other catalogues in an import: an origin → the model that has it here."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sqlalchemy as sa

from modelyard.facts import Record
from modelyard.registry.writer import Outcome
from modelyard.store import origins


class OriginIds:
    """The ids of the models that a batch of records is about, by their origins."""

    def __init__(self, connection: sa.Connection, batch: Iterable[Sequence[Record]]) -> None:
        self._connection = connection
        names = {run[0].origin for run in batch if run[0].origin}
        self._ids = origins.find_ids(connection, names) if names else {}
        self._own = f"{origins.read_catalogue(connection)}/" if names else ""

    def is_own(self, record: Record) -> bool:
        """Whether a record is about a model that another catalogue has from this one."""
        return record.origin is not None and record.origin.startswith(self._own)

    def with_ids(self, run: Sequence[Record]) -> Sequence[Record]:
        """Return the records with the id of the model that has their origin; without one if there is none yet."""
        if run[0].origin is None:
            return run
        return [replace(record, id=self._ids.get(run[0].origin)) for record in run]

    def put_new(self, outcomes: Iterable[Outcome]) -> None:
        """Store the origins of the models that were added."""
        new = {
            outcome.id: outcome.record.origin
            for outcome in outcomes
            if outcome.id is not None and outcome.record.origin is not None and outcome.result == "added"
        }
        origins.put(self._connection, new)
