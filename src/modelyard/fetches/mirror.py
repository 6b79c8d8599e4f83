"""Which listed versions have no file here: the most popular first, within limits of number and size."""

from collections.abc import Iterator
from dataclasses import dataclass

from modelyard.store import Store, fetches

_BATCH = 500
_FIRST = (1 << 62, 0)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to mirror. ``limit`` and ``bytes_max`` count versions whose files are here too; None is no limit."""

    type_names: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    limit: int | None = None
    bytes_max: int | None = None
    retries_failed: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed version. ``is_failed``: an earlier fetch of it failed, and it is not fetched again."""

    id: int
    size_bytes: int | None
    is_here: bool
    is_failed: bool = False


def choose_versions(store: Store, selection: Selection) -> Iterator[Candidate]:
    """Yield the versions of a selection, with and without files, the most popular first."""
    after, count, size_bytes = _FIRST, 0, 0
    while True:
        with store.reading() as connection:
            rows = fetches.listed_versions(connection, selection.type_names, selection.base_models, after, _BATCH)
            failed = set() if selection.retries_failed else fetches.failed_models(connection, [row[0] for row in rows])
        for model_id, rank, file_bytes, is_here in rows:
            after = (rank, model_id)
            if selection.limit is not None and count >= selection.limit:
                return
            if selection.bytes_max is not None and size_bytes + (file_bytes or 0) > selection.bytes_max:
                return
            count += 1
            is_failed = not is_here and model_id in failed
            size_bytes += 0 if is_failed else file_bytes or 0
            yield Candidate(model_id, file_bytes, is_here, is_failed)
        if len(rows) < _BATCH:
            return
