"""Python packages that tests run and Modelyard never imports, each set in an environment that pytest keeps."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from . import npm, requirements


def installed(config: pytest.Config, name: str, *arguments: Sequence[str]) -> Path:
    """Return the folder with the programs of an environment; each of ``arguments`` is one call of ``pip install``.

    This interpreter's pip fills it: to install pip into each environment takes longer than most packages. What no test
    imports is not compiled.
    """
    assert config.cache is not None
    folder = config.cache.mkdir(name)
    programs = folder / "venv" / "bin"
    with npm.one_at_a_time(folder):
        if not (folder / "installed").exists():
            _run("-m", "venv", "--clear", "--without-pip", str(folder / "venv"))
            pip = ("-m", "pip", "--python", str(programs / "python"), "install", "-q", "--no-compile")
            for packages in arguments:
                _run(*pip, *packages)
            (folder / "installed").touch()
    return programs


def _run(*arguments: str) -> None:
    command = [sys.executable, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if run.returncode:
        requirements.absent(f"{' '.join(command)} failed: {run.stderr[-500:]}")
