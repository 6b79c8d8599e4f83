"""The packages of Modelyard, built as a release is, and installed into an environment that has nothing else."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import npm, requirements

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
EPOCH = "1764547200"


def build(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build the sdist and the wheel of a source folder, and return their paths."""
    requirements.module("hatchling")
    environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=source, environment=environment)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def wheel_of(config: pytest.Config, folder: Path) -> Path:
    """Return the wheel of this source, in a folder that pytest keeps as long as the source stays the same."""
    assert config.cache is not None
    _, wheel = build(ROOT, folder)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()[:16]
    copy = config.cache.mkdir("wheel") / digest / wheel.name
    with npm.one_at_a_time(config.cache.mkdir("wheel")):
        if not copy.exists():
            copy.parent.mkdir()
            shutil.copyfile(wheel, copy)
    return copy


def installed(wheel: Path, python: str = sys.executable, *others: str) -> Path:
    """Return the programs of an environment that has the wheel, what it needs, and other packages."""
    folder = wheel.parent / hashlib.sha256(repr((python, others)).encode()).hexdigest()[:16]
    with npm.one_at_a_time(wheel.parent):
        if not (folder / "installed").exists():
            run([uv(), "venv", "-q", "--clear", "-p", python, str(folder)])
            run([uv(), "pip", "install", "-q", "-p", str(folder), "-c", str(CONSTRAINTS), str(wheel), *others])
            (folder / "installed").touch()
    return folder / "bin"


def uv() -> str:
    """Return where uv is: the package for tests has its program."""
    return str(requirements.module("uv").find_uv_bin())


def run(
    command: list[str], *, cwd: Path = ROOT, environment: dict[str, str] | None = None, seconds_max: int = 300
) -> str:
    """Run a program of an environment, and return its output. Whoever has no network has no environment."""
    environment = environment or {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds_max, check=False
    )
    if done.returncode:
        problem = f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        if command[0] == uv():
            requirements.absent(problem)
        pytest.fail(problem)
    return done.stdout
