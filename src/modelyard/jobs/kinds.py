"""Kinds of background work, and the arguments of their functions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import sqlalchemy as sa

from modelyard import errors
from modelyard.catalog import Catalog
from modelyard.covers import Covers
from modelyard.fetches import Fetcher
from modelyard.outbound import Outbound
from modelyard.sends import Sender
from modelyard.store import Store, jobs
from modelyard.store.jobs import Job
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.verification import UploadVerifier
from modelyard.webhooks.planner import WebhookPlanner
from modelyard.webhooks.sender import WebhookSender

# The slowest disk or network that time limits allow for.
BYTES_PER_SECOND_MIN = 5_000_000


class Trigger(Enum):
    """When jobs of a kind are due."""

    ROWS = "rows"  # when somebody has added a row; finishing the job deletes it
    CHANGE = "change"  # when the catalogue has changed
    PERIOD = "period"  # when its period is over


class Renderer(Protocol):
    """Renders models before anybody asks for them."""

    def is_behind(self) -> bool:
        """Whether models changed since the last run."""

    def refresh(self, is_ended: Callable[[], bool]) -> object:
        """Render what changed, until there is no more or ``is_ended`` returns true."""


@dataclass(frozen=True, slots=True)
class Resources:
    """The open resources of a process."""

    store: Store
    verifier: UploadVerifier | None = None
    cleaner: UploadCleaner | None = None
    covers: Covers | None = None
    catalog: Catalog | None = None
    civitai_models: Renderer | None = None
    outbound: Outbound | None = None
    fetcher: Fetcher | None = None
    sender: Sender | None = None
    webhook_planner: WebhookPlanner | None = None
    webhook_sender: WebhookSender | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, for its function."""

    job: Job
    is_stopping: Callable[[], bool]
    allow_seconds: Callable[[float], object]
    # The calls of ``finish``; if their transaction failed, so did the function.
    finishes: list[Job] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether the function has deleted its job."""
        return bool(self.finishes)

    def allow_bytes(self, size_bytes: int) -> None:
        """Start the time limit again, plus the time for so many bytes: a file of 50 GB takes minutes."""
        self.allow_seconds(size_bytes / BYTES_PER_SECOND_MIN)

    def finish(self, connection: sa.Connection) -> None:
        """Delete the job in the transaction of its result; raise Conflict, which undoes both, if its lease is lost."""
        if not jobs.finish(connection, self.job):
            raise errors.Conflict(f"another worker has the lease of {self.job.kind} {self.job.subject}")
        self.finishes.append(self.job)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of background work. ``function`` returns the seconds after which to run again, None for when it is due.

    ``is_wanted`` is asked before work that returns is leased, so that an idle server writes nothing. Teams take turns
    where ``fairness_key`` is "team"; none has more than ``team_running_max`` running jobs, if that is not 0. A run is
    ended after ``limit_seconds`` without a sign of life.
    """

    name: str
    label: str
    process: str
    function: Callable[[Resources, Run], float | None]
    trigger: Trigger
    period_seconds: float = 0.0
    poll_seconds: float = 1.0
    lease_seconds: int = 60
    limit_seconds: float = 600.0
    fairness_key: str = ""
    team_running_max: int = 0
    is_node_bound: bool = False
    is_wanted: Callable[[Resources], bool] | None = None
