"""The table of kinds: all background work, and the process that does it."""

import time
from dataclasses import replace

import sqlalchemy as sa

from modelyard.covers import import_job
from modelyard.covers.finder import cover_files
from modelyard.domain import OWN_ID_MIN
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.library.matches import merge_matching_models
from modelyard.library.pending_hashes import hash_pending
from modelyard.store import covers, files, jobs, webhooks
from modelyard.store.jobs import Listed, Summary

VERIFIER, HASHER, INDEXER, FETCHER = "verifier", "hasher", "indexer", "fetcher"
# Threads of the fetcher's process: none waits for a fetch.
SENDER, WEBHOOK_PLANNER, WEBHOOK_SENDER = "sender", "webhook-planner", "webhook-sender"
# Not a process of the server: the command `modelyard mirror`, which keeps to its own rate.
MIRROR = "mirror"
# Cleanup deletes rows of nodes that have not worked for this long.
_NODE_ROWS_SECONDS = 7 * 86_400
# How long, and how many of each webhook, ended deliveries are kept.
_DELIVERIES_SECONDS, _DELIVERIES_MAX = 7 * 86_400, 1_000
# How many webhooks of one team are sent at the same time, so that slow receivers of one team do not use all threads.
_TEAM_SENDS_MAX = 2
# How long the fetch of a process that was killed waits for another one.
FETCH_LEASE_SECONDS = 15
SEND_LEASE_SECONDS = 15
# After this time, hashing lets covers and matching run.
_SLICE_SECONDS = 300.0
# After this time, rendering lets indexing run.
_RENDERING_SECONDS = 1.0


def verify_upload(resources: Resources, run: Run) -> float | None:
    """Verify the upload whose id is the job's subject."""
    assert resources.verifier is not None, "the verifier's process opens it"
    return resources.verifier.verify(
        run.job.subject, attempt=run.job.attempts, finish=run.finish, allow_bytes=run.allow_bytes
    )


def fetch_file(resources: Resources, run: Run) -> float | None:
    """Fetch the file whose fetch is the job's subject."""
    assert resources.fetcher is not None, "the fetcher's process opens it"
    return resources.fetcher.fetch(run.job.subject, run)


def send_file(resources: Resources, run: Run) -> float | None:
    """Do a step of the send that is the job's subject."""
    assert resources.sender is not None, "the fetcher's process opens it"
    return resources.sender.step(run.job.subject)


def clean_up(resources: Resources, _: Run) -> None:
    """Delete expired uploads and stray bytes, mark unused files, and forget nodes that are gone."""
    assert resources.cleaner is not None, "the verifier's process opens it"
    resources.cleaner.purge_expired()
    node_bound = [kind.name for kind in KINDS if kind.is_node_bound]
    with resources.store.transaction() as transaction:
        jobs.drop_unused(transaction.connection, node_bound, transaction.now - _NODE_ROWS_SECONDS)
        webhooks.drop_old_deliveries(transaction.connection, transaction.now - _DELIVERIES_SECONDS, _DELIVERIES_MAX)


def find_covers(resources: Resources, run: Run) -> None:
    """Find the pictures that lie beside files or in their headers."""
    assert resources.covers is not None, "the hasher's process opens it"
    cover_files(resources.store, resources.covers, run.is_stopping, on_file=run.allow_bytes)


def download_covers(resources: Resources, run: Run) -> float | None:
    """Download covers of models from their sources; return 1 while there are more, so that other work has a turn."""
    assert resources.covers is not None, "the hasher's process opens it"
    assert resources.outbound is not None, "the hasher's process opens it"
    store, pictures, outbound = resources.store, resources.covers, resources.outbound
    has_more = import_job.run_slice(store, pictures, outbound, run.is_stopping, lambda: run.allow_bytes(0))
    return 1.0 if has_more else None


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


def render_civitai_models(resources: Resources, run: Run) -> float | None:
    """Render models as Civitai's JSON; return 0 while there are more, so that indexing has a turn."""
    assert resources.civitai_models is not None, "the indexer's process opens it"
    end_at = time.monotonic() + _RENDERING_SECONDS
    resources.civitai_models.refresh(lambda: run.is_stopping() or time.monotonic() >= end_at)
    return 0.0 if resources.civitai_models.is_behind() else None


def plan_webhooks(resources: Resources, _: Run) -> float | None:
    """Add the messages that webhooks have to send of what changed."""
    assert resources.webhook_planner is not None, "the fetcher's process opens it"
    return resources.webhook_planner.plan()


def send_webhook(resources: Resources, run: Run) -> float | None:
    """Send what waits for the webhook that is the job's subject."""
    assert resources.webhook_sender is not None, "the fetcher's process opens it"
    return resources.webhook_sender.deliver(run.job.subject, run.finish, run.is_stopping)


def _has_webhooks_behind(resources: Resources) -> bool:
    assert resources.webhook_planner is not None, "the fetcher's process opens it"
    return resources.webhook_planner.is_wanted()


def _has_uncovered_files(resources: Resources) -> bool:
    with resources.store.reading_once() as connection:
        return bool(covers.unlooked(connection, 1))


def _has_unhashed_files(resources: Resources) -> bool:
    with resources.store.reading_once() as connection:
        return bool(files.pending(connection, 1))


def _has_matches(resources: Resources) -> bool:
    with resources.store.reading_once() as connection:
        return bool(files.matched_later(connection, OWN_ID_MIN))


def _has_old_segments(resources: Resources) -> bool:
    assert resources.catalog is not None, "the indexer's process opens it"
    return resources.catalog.has_old_segments()


def _has_unrendered_models(resources: Resources) -> bool:
    return resources.civitai_models is not None and resources.civitai_models.is_behind()


def _has_unpublished_segments(resources: Resources) -> bool:
    assert resources.catalog is not None, "the indexer's process opens it"
    return resources.catalog.has_unpublished_segments()


KINDS: tuple[Kind, ...] = (
    Kind(jobs.CHECK, "verification", VERIFIER, verify_upload, Trigger.ROWS, poll_seconds=0.2, fairness_key="team"),
    Kind(
        jobs.FETCH, "fetching", FETCHER, fetch_file, Trigger.ROWS,
        poll_seconds=0.5, lease_seconds=FETCH_LEASE_SECONDS, fairness_key="team",
    ),
    Kind(
        jobs.MIRROR, "mirroring", MIRROR, fetch_file, Trigger.ROWS,
        poll_seconds=0.1, lease_seconds=FETCH_LEASE_SECONDS,
    ),
    Kind(
        jobs.SEND, "sending", SENDER, send_file, Trigger.ROWS,
        poll_seconds=0.5, lease_seconds=FETCH_LEASE_SECONDS, fairness_key="team",
    ),
    Kind(
        "webhook-planning", "planning of webhooks", WEBHOOK_PLANNER, plan_webhooks, Trigger.PERIOD,
        poll_seconds=0.2, lease_seconds=SEND_LEASE_SECONDS, is_wanted=_has_webhooks_behind,
    ),
    Kind(
        jobs.WEBHOOK, "webhooks", WEBHOOK_SENDER, send_webhook, Trigger.ROWS,
        poll_seconds=0.2, lease_seconds=SEND_LEASE_SECONDS, fairness_key="team", team_running_max=_TEAM_SENDS_MAX,
    ),
    Kind("cleanup", "cleanup", VERIFIER, clean_up, Trigger.PERIOD, period_seconds=60.0, is_node_bound=True),
    # Covers go first: minutes for what takes hours to hash.
    Kind(
        "covers", "covers", HASHER, find_covers, Trigger.CHANGE,
        is_node_bound=True, is_wanted=_has_uncovered_files,
    ),
    Kind(import_job.KIND, "download of covers", HASHER, download_covers, Trigger.ROWS),
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
    Kind(
        "civitai", "rendering of Civitai's lists", INDEXER, render_civitai_models, Trigger.PERIOD,
        period_seconds=5.0, is_wanted=_has_unrendered_models,
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
