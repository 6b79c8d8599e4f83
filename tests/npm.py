"""Packages of npm, installed once and kept in pytest's cache."""

import subprocess
from pathlib import Path

import pytest

from . import requirements

_COMMAND = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix")


def installed(config: pytest.Config, package: str) -> Path:
    """Return the folder in which a package (``name@version``) is installed."""
    npm = requirements.program("npm")
    assert config.cache is not None
    folder = config.cache.mkdir(package.replace("@", "-"))
    if not (folder / "installed").exists():
        command = [npm, *_COMMAND, folder, package]
        run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if run.returncode:
            requirements.absent(f"{package} cannot be installed: {run.stderr[-500:]}")
        (folder / "installed").touch()
    return folder
