"""Renders untrusted pictures in a child process, which has a limit of memory and can be killed.

Decoders are written in C, and a picture of 34 bytes can ask for a gigabyte. The child starts with the first picture,
in 0.2 s, and ends if there is none for a minute. ``modelyard.thumbnails`` is its program.
"""

import atexit
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from modelyard import errors

BYTES_MAX = 16 * 1024 * 1024
# The largest picture takes two seconds on a core of its own.
_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered picture: the hash of the original in lower case, and the WebP of each width."""

    sha256: str
    by_width: Mapping[int, bytes]


class Renderer:
    """A child process that renders one picture at a time. Threads may share it."""

    def __init__(self, seconds_max: float = _SECONDS_MAX) -> None:
        self._seconds_max = seconds_max
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """The process id of the child; None before the first picture."""
        return self._child.pid if self._child else None

    def render(self, picture: bytes) -> Rendered:
        """Render the widths of a picture. Raises TooLarge, or UnsupportedFile, which says why it is refused."""
        if len(picture) > BYTES_MAX:
            raise errors.TooLarge("the picture", BYTES_MAX)
        with self._turn:
            try:
                by_width = self._ask(picture)
            except (EOFError, OSError):
                # The child had ended for want of work. A second child that ends does so because of the picture.
                self._stop()
                by_width = self._ask_new_child(picture)
        return Rendered(hashlib.sha256(picture).hexdigest(), by_width)

    def _ask_new_child(self, picture: bytes) -> dict[int, bytes]:
        try:
            return self._ask(picture)
        except (EOFError, OSError) as problem:
            self._stop()
            raise errors.UnsupportedFile("the picture cannot be decoded: the decoder ended") from problem

    def _ask(self, picture: bytes) -> dict[int, bytes]:
        child = self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        is_late = threading.Event()
        timer = threading.Timer(self._seconds_max, _kill, (child, is_late))
        timer.daemon = True
        timer.start()
        try:
            child.stdin.write(len(picture).to_bytes(8) + picture)
            child.stdin.flush()
            header = json.loads(_read(child.stdout, int.from_bytes(_read(child.stdout, 8))))
            if "problem" in header:
                raise errors.UnsupportedFile(header["problem"], **header["facts"])
            return {int(width): _read(child.stdout, length) for width, length in header["widths"].items()}
        except (EOFError, OSError):
            if is_late.is_set():
                self._stop()
                raise errors.UnsupportedFile(
                    f"decoding the picture took longer than {self._seconds_max:g} seconds"
                ) from None
            raise
        finally:
            timer.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._owner != os.getpid():
            # The child gets no setting and no secret of ours, and no signal of our terminal.
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MALLOC_ARENA_MAX": "1"}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "modelyard.thumbnails"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                process_group=0,
            )
            self._owner = os.getpid()
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None and self._owner == os.getpid():
            child.kill()
            for stream in (child.stdin, child.stdout):
                with suppress(OSError):  # what was not sent yet cannot be sent any more
                    if stream is not None:
                        stream.close()
            child.wait()

    def close(self) -> None:
        """End the child. The next picture starts another one."""
        with self._turn:
            self._stop()


def _read(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def _kill(child: subprocess.Popen[bytes], is_late: threading.Event) -> None:
    is_late.set()
    child.kill()


# One child for each process that renders: processes render few pictures, and each child takes memory.
RENDERER = Renderer()
render = RENDERER.render
atexit.register(RENDERER.close)
