"""Wakes up the processes of one machine that wait for news of a database, without any of them looking now and then.

    <database>-listeners/
        3f9c…    a named pipe: one for each process that waits; it alone reads it
        81d0…

A writer writes a byte into each pipe. A process that was killed leaves its pipe behind; the next writer finds that
nobody reads it, and deletes it.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_READ_BYTES = 65_536


class WakeupPipe:
    """The pipe of this process. Raises OSError where the file system has no named pipes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        name = secrets.token_hex(8)
        new = folder / f".{name}"
        self._path = folder / name
        os.mkfifo(new, 0o600)
        try:
            # Also for writing: a pipe without a writer is at its end, and never waited for.
            self.file = os.open(new, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            # Only now may writers see it: they delete what nobody reads.
            new.rename(self._path)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def is_there(self) -> bool:
        """Whether writers find the pipe; somebody may have deleted its folder."""
        return self._path.exists()

    def clear(self) -> None:
        """Forget the wakeups so far."""
        with suppress(BlockingIOError):
            os.read(self.file, _READ_BYTES)

    def close(self) -> None:
        """Delete the pipe."""
        self._path.unlink(missing_ok=True)
        os.close(self.file)


def wake_all(folder: Path) -> None:
    """Wake up every process that waits; about 10 µs for each. Raises nothing: they look now and then anyway."""
    with suppress(OSError):
        for path in folder.iterdir():
            if not path.name.startswith("."):
                _wake(path)


def _wake(path: Path) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as problem:
        if problem.errno == errno.ENXIO:
            path.unlink(missing_ok=True)
        return
    try:
        # What else lies here stays as it is.
        if stat.S_ISFIFO(os.fstat(file).st_mode):
            with suppress(BlockingIOError):  # a pipe that is full wakes its reader up already
                os.write(file, b"!")
    finally:
        os.close(file)
