"""Starts the processes of a server, replaces those that die, and stops all together.

    parent ── fork ──> worker 1 … n      each answers on one socket, and opens the store and the index itself
      │       fork ──> indexer           keeps the segments on disk up to date; verifier, hasher: other background work
      │ pipe: held open by the parent only; its end tells a worker that the parent is gone

The parent answers nothing and opens nothing, so there is no connection or lock that a fork could tear in two.
"""

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType

from modelyard import errors
from modelyard.jobs.process_title import set_title

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A worker that ends sooner than this has hardly begun to answer; after so many in a row, trying on would only fill the
# log. So many for each process that a job has: all may be killed at once, for want of memory.
_SHORT_LIFE_SECONDS = 5.0
_SHORT_LIVES_MAX = 5
# How soon a worker whose database is away looks for it again.
_AWAY_SECONDS = 1.0


class Supervisor:
    """The processes of one server. Use it in the main thread only: it handles SIGTERM and SIGINT."""

    def __init__(self, jobs: Mapping[str, tuple[int, Callable[[], None]]], tell: Callable[[str], None]) -> None:
        """Take the jobs by name: how many processes each has, and what they do until SIGTERM."""
        self._jobs = jobs
        self._tell = tell
        self._started: dict[int, tuple[str, float]] = {}
        self._is_stopping = False
        self._alive, self._held = os.pipe()

    def run(self) -> None:
        """Keep all jobs' processes running until SIGTERM or SIGINT, and return when the last one is done."""
        set_title("server")
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        failed = ""
        try:
            for job, (count, _) in self._jobs.items():
                for _ in range(count):
                    self._start(job)
            short_lives: Counter[str] = Counter()
            while self._started:
                pid, status = os.wait()
                job, started_at = self._started.pop(pid)
                lived_seconds = time.monotonic() - started_at
                if self._is_stopping:
                    continue
                short_lives[job] = short_lives[job] + 1 if lived_seconds < _SHORT_LIFE_SECONDS else 0
                if short_lives[job] >= _SHORT_LIVES_MAX * self._jobs[job][0]:
                    failed = job
                    self._stop()
                    continue
                self._tell(f"{job} {pid} ended ({_how(status)}); another one takes its place")
                self._start(job)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._held)
            os.close(self._alive)
        if failed:
            raise errors.ConfigurationError(
                f"{short_lives[failed]} processes in a row ({failed}) ended as soon as they had started; see above"
            )

    def _start(self, job: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # The garbage collector of a child writes into each object that it looks at, and so copies its page: 22 MiB in
        # each process (2026-11). It does not look at frozen ones.
        gc.freeze()
        # A signal between the fork and the note of it would miss the new worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self._is_stopping:
                return
            pid = os.fork()
            if pid == 0:
                self._work(job)
            self._started[pid] = job, time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _work(self, job: str) -> None:
        """Do a job, and never return."""
        code = 1
        try:
            set_title(f"{job}")
            os.close(self._held)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            threading.Thread(target=_end_with_parent, args=(self._alive,), daemon=True).start()
            self._work_on(job)
            code = 0
        except errors.ModelyardError as error:
            self._tell(f"{job} {os.getpid()}: {error}")
        except Exception:
            # Leaving by os._exit would hide what went wrong.
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _work_on(self, job: str) -> None:
        """Do a job to its end; begin again while what it needs is away: the server could open it when it started."""
        while True:
            try:
                self._jobs[job][1]()
                return
            except (errors.Unavailable, errors.DatabaseUnavailable) as problem:
                self._tell(f"{job} {os.getpid()} waits: {problem}")
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            time.sleep(_AWAY_SECONDS)

    def _stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._is_stopping = True
        for pid in self._started:
            # Waited for, and about to be crossed off.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def run_in_subprocess(work: Callable[[], None]) -> None:
    """Run ``work`` in a process of its own and wait for it. Later forks inherit none of its threads and files.

    Raises ConfigurationError with the message of its error.
    """
    alive, held = os.pipe()
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            set_title("building the index")
            os.close(held)
            os.close(read_end)
            threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
            work()
            code = 0
        except errors.ModelyardError as error:
            os.write(write_end, str(error).encode())
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    try:
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            message = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(held)
        os.close(alive)
    if status:
        raise errors.ConfigurationError(message or f"the index could not be made ready: {_how(status)}")


def _end_with_parent(alive: int) -> None:
    # Blocks until the parent's end of the pipe is closed, by whatever way the parent ended.
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
