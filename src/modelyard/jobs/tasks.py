"""The table of kinds: all background work, and the process that does it."""

import time
from dataclasses import replace

import sqlalchemy as sa

from modelyard.covers.finder import cover_files
from modelyard.domain import OWN_ID_MIN
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.library.matches import merge_matching_models
from modelyard.library.pending_hashes import hash_pending
from modelyard.store import covers, files, jobs
from modelyard.store.jobs import Listed, Summary

VERIFIER, HASHER, INDEXER = "verifier", "hasher", "indexer"
# Cleanup deletes rows of nodes that have not worked for this long.
_NODE_ROWS_SECONDS = 7 * 86_400
# After this time, hashing lets covers and matching run.
_SLICE_SECONDS = 300.0


def verify_upload(resources: Resources, run: Run) -> float | None:
    """Verify the upload whose id is the job's subject."""
    assert resources.verifier is not None, "the verifier's process opens it"
    return resources.verifier.verify(
        run.job.subject, attempt=run.job.attempts, finish=run.finish, allow_bytes=run.allow_bytes
    )


def clean_up(resources: Resources, _: Run) -> None:
    """Delete expired uploads and stray bytes, mark unused files, and forget nodes that are gone."""
    assert resources.cleaner is not None, "the verifier's process opens it"
    resources.cleaner.purge_expired()
    node_bound = [kind.name for kind in KINDS if kind.is_node_bound]
    with resources.store.transaction() as transaction:
        jobs.drop_unused(transaction.connection, node_bound, transaction.now - _NODE_ROWS_SECONDS)


def find_covers(resources: Resources, run: Run) -> None:
    """Find the pictures that lie beside files or in their headers."""
    assert resources.covers is not None, "the hasher's process opens it"
    cover_files(resources.store, resources.covers, run.is_stopping, on_file=run.allow_bytes)


def hash_files(resources: Resources, run: Run) -> float | None:
    """Hash files without hashes; return 0 while there are more."""
    began = time.monotonic()
    hash_pending(resources.store, run.is_stopping, seconds_max=_SLICE_SECONDS, on_file=run.allow_bytes)
    return 0.0 if time.monotonic() - began >= _SLICE_SECONDS else None


def merge_matches(resources: Resources, _: Run) -> None:
    """Merge models of scanned files with models that an import brought."""
    merge_matching_models(resources.store)


def update_segments(resources: Resources, run: Run) -> None:
    """Write what is newer than the segments on disk, and merge segments."""
    assert resources.catalog is not None, "the indexer's process opens it"
    resources.catalog.update_segments(lambda _: run.allow_bytes(0))


def replicate_segments(resources: Resources, _: Run) -> None:
    """Publish this node's segments for others, where it is the one that does."""
    assert resources.catalog is not None, "the indexer's process opens it"
    resources.catalog.publish_segments()


def _has_uncovered_files(resources: Resources) -> bool:
    with resources.store.reading() as connection:
        return bool(covers.unlooked(connection, 1))


def _has_unhashed_files(resources: Resources) -> bool:
    with resources.store.reading() as connection:
        return bool(files.pending(connection, 1))


def _has_matches(resources: Resources) -> bool:
    with resources.store.reading() as connection:
        return bool(files.matched_later(connection, OWN_ID_MIN))


def _has_old_segments(resources: Resources) -> bool:
    assert resources.catalog is not None, "the indexer's process opens it"
    return resources.catalog.has_old_segments()


def _has_unpublished_segments(resources: Resources) -> bool:
    assert resources.catalog is not None, "the indexer's process opens it"
    return resources.catalog.has_unpublished_segments()


KINDS: tuple[Kind, ...] = (
    Kind(jobs.CHECK, "verification", VERIFIER, verify_upload, Trigger.ROWS, poll_seconds=0.2, fairness_key="team"),
    Kind("cleanup", "cleanup", VERIFIER, clean_up, Trigger.PERIOD, period_seconds=60.0, is_node_bound=True),
    # Covers go first: minutes for what takes hours to hash.
    Kind(
        "covers", "covers", HASHER, find_covers, Trigger.CHANGE,
        is_node_bound=True, is_wanted=_has_uncovered_files,
    ),
    Kind(
        "hashing", "hashing", HASHER, hash_files, Trigger.CHANGE,
        is_node_bound=True, is_wanted=_has_unhashed_files,
    ),
    Kind("matching", "matching", HASHER, merge_matches, Trigger.CHANGE, is_wanted=_has_matches),
    Kind(
        "indexing", "indexing", INDEXER, update_segments, Trigger.PERIOD,
        poll_seconds=0.5, limit_seconds=3600.0, is_node_bound=True, is_wanted=_has_old_segments,
    ),
    Kind(
        "replication", "replication", INDEXER, replicate_segments, Trigger.PERIOD,
        period_seconds=60.0, limit_seconds=3600.0, is_node_bound=True, is_wanted=_has_unpublished_segments,
    ),
)  # fmt: skip # a row a kind


def kinds_of(process: str) -> tuple[Kind, ...]:
    """Return the kinds of work that one process does, in the order in which it looks for them."""
    return tuple(kind for kind in KINDS if kind.process == process)


def is_returning(name: str) -> bool:
    """Whether work of a kind returns, so that its row stays; a kind of a newer version is taken for one that goes."""
    return any(kind.name == name and kind.trigger is not Trigger.ROWS for kind in KINDS)


def is_sleeping(job: Listed) -> bool:
    """Whether work that returns waits until it is needed, and not for a time: it has no period, and did not fail."""
    return job.state == "waiting" and job.attempts == 0 and _has_no_period(job.kind)


def describe_state(job: Listed) -> str:
    """Return ``scheduled`` for work that returns and did not fail, otherwise the job's state."""
    is_scheduled = job.state == "waiting" and job.attempts == 0 and is_returning(job.kind)
    return "scheduled" if is_scheduled else job.state


def summaries(connection: sa.Connection) -> list[Summary]:
    """Return how the work of every kind stands, also where there is none. Work that returns waits for its next run."""
    by_kind = jobs.summaries(connection)
    names = dict.fromkeys([*(kind.name for kind in KINDS), *by_kind])
    return [_as_shown(by_kind.get(name) or Summary(name)) for name in names]


def _as_shown(work: Summary) -> Summary:
    if not is_returning(work.kind):
        return work
    next_run_at = None if _has_no_period(work.kind) and not work.failed else work.next_run_at
    return replace(work, waiting=0, waiting_since=None, next_run_at=next_run_at)


def _has_no_period(name: str) -> bool:
    return any(kind.name == name and not kind.period_seconds for kind in KINDS if is_returning(name))
