"""Executors run the function of a job in a child process, which can be killed, or in a thread of this process.

A child costs a fork, 8 ms, and the opening of the store, 80 ms, once; a job then costs 0.4 ms (2026-11, on a loaded
machine). It is forked before its parent opens anything, so there is no connection, lock or thread that a fork could
tear in two, and it shares the parent's memory. Whoever has to kill it closes what it has opened, and makes another.
"""

import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from modelyard import errors
from modelyard.jobs.kinds import Kind, Resources, Run
from modelyard.jobs.process_title import set_title
from modelyard.store import audit
from modelyard.store.audit import Actor
from modelyard.store.jobs import Job

# How long after its limit the kernel ends a child whose parent cannot.
_ALARM_GRACE_SECONDS = 30.0
_DEATH_SECONDS_MAX = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A sign of life: the time limit starts again, plus these seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """The function returned, with the seconds until its next run. ``is_finished``: it has deleted its job itself."""

    again_seconds: float | None
    is_finished: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """The function needs something that is away."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The function failed, or the process that it ran in ended."""

    reason: str
    is_lost: bool = False


Message = Allowed | Done | Paused | Failed


def perform(
    kind: Kind, job: Job, resources: Resources, is_stopping: Callable[[], bool], send: Callable[[Message], object]
) -> Message:
    """Run the function of a job, and return its result."""
    process = audit.ACTOR.set(lambda: Actor(audit.BY_JOB, kind.name))
    try:
        run = Run(job, is_stopping, lambda seconds: send(Allowed(seconds)))
        again_seconds = kind.function(resources, run)
        return Done(again_seconds, is_finished=again_seconds is None and run.is_finished)
    except (errors.Unavailable, errors.DatabaseUnavailable) as problem:
        return Paused(problem.message)
    except errors.DatabaseDamaged as problem:
        log.error("%s failed: %s", kind.label, problem.message)
        return Failed(problem.message)
    except Exception as problem:
        # A bug of ours in one job must not end the others.
        log.warning("%s failed (attempt %d): %s", kind.label, job.attempts, job.subject, exc_info=problem)
        return Failed(f"{type(problem).__name__}: {problem}")
    finally:
        # What this thread writes afterwards is no part of the job.
        audit.ACTOR.reset(process)


class ThreadExecutor:
    """Runs functions in threads of this process. It cannot kill: a hung function runs until the process ends."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self.is_lost = False

    def start(self, kind: Kind, job: Job) -> None:
        """Begin a job."""
        self._stopping.clear()
        messages = self._messages = queue.SimpleQueue()

        def work() -> None:
            messages.put(perform(kind, job, self._resources, self._stopping.is_set, messages.put))

        threading.Thread(target=work, name=f"modelyard-{kind.name}", daemon=True).start()

    def wait(self, seconds: float) -> Message | None:
        """Return the next message of the job, or None if there is none in time."""
        try:
            return self._messages.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Ask the job to stop at a point where it can continue later."""
        self._stopping.set()

    def kill(self) -> None:
        """End the job; nothing can be started after that."""
        self._stopping.set()
        self.is_lost = True

    def close(self) -> None:
        """End what is left."""
        self._stopping.set()


class ForkedExecutor:
    """Runs functions in one child process, forked when this is made."""

    def __init__(
        self, kinds: Mapping[str, Kind], open_resources: Callable[[], AbstractContextManager[Resources]]
    ) -> None:
        """Fork the child. To be called before this process opens anything."""
        self._connection, theirs = multiprocessing.Pipe()
        alive, self._held = os.pipe()
        self.is_lost = False
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._connection.close()
            os.close(self._held)
            _serve(kinds, open_resources, theirs, alive)
        theirs.close()
        os.close(alive)

    def start(self, kind: Kind, job: Job) -> None:
        """Begin a job."""
        with suppress(OSError):  # a child that is gone is noticed while waiting
            self._connection.send((kind.name, job))

    def wait(self, seconds: float) -> Message | None:
        """Return the next message of the job, or None if there is none in time."""
        try:
            if not self._connection.poll(max(0.0, seconds)):
                return None
            message: Message = self._connection.recv()
            return message
        except (EOFError, OSError):
            status = self._reap()
            self.is_lost = True
            how = "" if status is None else f" by signal {-status}" if status < 0 else f" with exit code {status}"
            return Failed(f"its process ended{how}", is_lost=True)

    def stop(self) -> None:
        """Ask the job to stop at a point where it can continue later."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the child at once; nothing can be started after that."""
        self.is_lost = True
        self._signal(signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        """Kill the child and close its pipes."""
        self._connection.close()
        os.close(self._held)
        if not self.is_lost:
            self.kill()

    def _signal(self, number: int) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _reap(self) -> int | None:
        """Return the exit code of the child; None if it does not end, for example because it waits for a disk."""
        give_up_at = time.monotonic() + _DEATH_SECONDS_MAX
        while self._pid and time.monotonic() < give_up_at:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return None


def _serve(
    kinds: Mapping[str, Kind],
    open_resources: Callable[[], AbstractContextManager[Resources]],
    connection: Connection,
    alive: int,
) -> None:
    """Run the jobs that arrive, in the child; never return."""
    stopping = threading.Event()
    code = 1
    try:
        process = next((kind.process for kind in kinds.values()), "worker")
        set_title(f"{process}, reading files")
        # Ctrl-C goes to every process of a terminal: the parent says when to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
        with ExitStack() as stack:
            resources: Resources | None = None
            while True:
                name, job = connection.recv()
                kind = kinds[name]

                def send(message: Message, kind: Kind = kind) -> None:
                    seconds = message.seconds if isinstance(message, Allowed) else 0.0
                    # The kernel's own clock: it ends even code that never lets another thread run.
                    signal.setitimer(signal.ITIMER_REAL, kind.limit_seconds + seconds + _ALARM_GRACE_SECONDS)
                    connection.send(message)

                send(Allowed(0.0))
                try:
                    resources = resources or stack.enter_context(open_resources())
                    message = perform(kind, job, resources, stopping.is_set, send)
                except (errors.Unavailable, errors.DatabaseUnavailable) as problem:
                    message = Paused(problem.message)
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                connection.send(message)
    except (EOFError, OSError):
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with_parent(alive: int) -> None:
    # Blocks until the parent's end of the pipe is closed, by whatever way the parent ended.
    os.read(alive, 1)
    os._exit(1)
