"""The indexer's work, done in a thread of a test and without the usual patience."""

import dataclasses
import threading

from modelyard.catalog import Catalog
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker


def run_indexer(catalog: Catalog, stopping: threading.Event, poll_seconds: float = 0.01) -> None:
    """Write and merge segments as the store changes, until ``stopping`` is set."""
    resources = Resources(catalog.store, catalog=catalog)
    kinds = [
        dataclasses.replace(kind, poll_seconds=poll_seconds) for kind in tasks.KINDS if kind.process == tasks.INDEXER
    ]
    Worker(resources, kinds, ThreadExecutor(resources), node="test").run(stopping)
