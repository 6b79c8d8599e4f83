"""Packages of npm, installed once and kept in pytest's cache."""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import requirements

_COMMAND = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix")


def installed(config: pytest.Config, package: str) -> Path:
    """Return the folder in which a package (``name@version``) is installed."""
    npm = requirements.program("npm")
    assert config.cache is not None
    folder = config.cache.mkdir(package.replace("@", "-").replace("/", "-"))
    with one_at_a_time(folder):
        if not (folder / "installed").exists():
            command = [npm, *_COMMAND, folder, package]
            run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
            if run.returncode:
                requirements.absent(f"{package} cannot be installed: {run.stderr[-500:]}")
            (folder / "installed").touch()
    return folder


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep the other processes of this test run out of a folder that is being filled."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
