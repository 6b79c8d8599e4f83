"""What the kinds of background work call, and how they are shown."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from modelyard.jobs import tasks
from modelyard.jobs.kinds import Resources, Run
from modelyard.store import Store, jobs, open_store
from modelyard.store.jobs import Job, Listed

NOW = 10_000_000
RUN = Run(Job(1, "work", "x", 3, "me", ""), lambda: False, lambda _: None)


@dataclass
class Part:
    """Notes the calls of one part of a process."""

    calls: list[tuple[object, ...]] = field(default_factory=list)
    answer: object = None

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object, **options: object) -> object:
            self.calls.append((name, *arguments, *sorted(options)))
            return self.answer

        return call


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite", clock=lambda: float(NOW))
    yield store
    store.close()


def test_an_upload_is_verified_with_its_attempt(store: Store) -> None:
    verifier = Part(answer=0.5)

    assert 0.5 == tasks.verify_upload(Resources(store, verifier=cast("Any", verifier)), RUN)
    assert [("verify", "x", "allow_bytes", "attempt", "finish")] == verifier.calls


def test_cleaning_up_purges_and_forgets_rows_of_nodes_after_a_week(store: Store) -> None:
    cleaner = Part()
    week = 7 * 86_400
    with store.transaction() as transaction:
        connection = transaction.connection
        for kind, subject, at in (
            ("cleanup", "old node", NOW - week - 1),
            ("covers", "old node", NOW - week - 1),
            ("cleanup", "new node", NOW - week + 1),
            ("matching", "", NOW - week - 1),
            ("check", "upload", NOW - week - 1),
        ):
            jobs.add(connection, kind, subject, at)

    tasks.clean_up(Resources(store, cleaner=cast("Any", cleaner)), RUN)

    assert [("purge_expired",)] == cleaner.calls
    with store.reading() as connection:
        assert [("check", "upload"), ("cleanup", "new node"), ("matching", "")] == sorted(
            (row.kind, row.subject) for row in jobs.listed(connection)
        )


def test_the_indexers_work_is_the_catalogues(store: Store) -> None:
    catalog, rendering = Part(answer=True), Part(answer=True)
    resources = Resources(store, catalog=cast("Any", catalog), civitai_models=cast("Any", rendering))
    tasks.update_segments(resources, RUN)
    tasks.replicate_segments(resources, RUN)
    wanted = [kind.is_wanted(resources) for kind in tasks.kinds_of(tasks.INDEXER) if kind.is_wanted]

    assert ["update_segments", "publish_segments", "has_old_segments", "has_unpublished_segments"] == [
        call[0] for call in catalog.calls
    ]
    assert ["is_behind"] == [call[0] for call in rendering.calls]
    assert [True, True, True] == wanted


def test_an_empty_catalogue_wants_no_work_of_the_hasher(store: Store) -> None:
    resources = Resources(store)
    tasks.merge_matches(resources, RUN)

    assert [False] * 3 == [kind.is_wanted(resources) for kind in tasks.kinds_of(tasks.HASHER) if kind.is_wanted]
    assert tasks.hash_files(resources, RUN) is None


def job(kind: str, *, attempts: int = 0, run_at: int = NOW, owner: str | None = None) -> Listed:
    return Listed(1, kind, "", attempts, run_at, owner, "", "", NOW, None, None, None)


@pytest.mark.parametrize(
    ("kind", "attempts", "run_at", "owner", "state", "is_sleeping", "is_returning"),
    [
        ("check", 0, NOW, None, "waiting", False, False),
        ("check", 1, NOW, "me", "running", False, False),
        ("check", 1, jobs.NEVER, None, "dead", False, False),
        ("cleanup", 0, NOW, None, "scheduled", False, True),
        ("cleanup", 1, NOW, None, "waiting", False, True),
        ("cleanup", 0, NOW, "me", "running", False, True),
        ("matching", 0, NOW, None, "scheduled", True, True),
        ("matching", 1, NOW, None, "waiting", False, True),
        ("indexing", 0, NOW, None, "scheduled", True, True),
        ("replication", 0, NOW, None, "scheduled", False, True),
        ("of next year", 0, NOW, None, "waiting", False, False),
    ],
)
def test_the_state_of_a_job_is_shown_by_its_kind(
    kind: str, attempts: int, run_at: int, owner: str | None, state: str, is_sleeping: bool, is_returning: bool
) -> None:
    row = job(kind, attempts=attempts, run_at=run_at, owner=owner)

    assert (state, is_sleeping, is_returning) == (
        tasks.describe_state(row),
        tasks.is_sleeping(row),
        tasks.is_returning(kind),
    )
