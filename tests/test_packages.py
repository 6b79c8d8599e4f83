"""What a release consists of: the sdist and the wheel, by themselves, and in the newest Python that is here."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from modelyard import __version__

from . import packages, requirements

SOURCE = packages.ROOT / "src" / "modelyard"
# A part of the tests that needs no server of others and a few packages.
SELECTION = (
    "tests/wire/test_parameters.py",
    "tests/inspection/test_safetensors.py",
    "tests/inspection/test_pickles.py",
    "tests/web/test_bodies.py",
    "tests/web/api/test_list_models.py",
)
SELECTION_NEEDS = ("pytest", "pytest-timeout", "hypothesis")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return packages.build(packages.ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.wheel_of(request.config, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_file_of_the_package(built: tuple[Path, Path]) -> None:
    files = {
        f"modelyard/{path.relative_to(SOURCE).as_posix()}"
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if name.startswith("modelyard/")}

    assert files == names - {"modelyard/commit.txt"}


def test_what_is_built_from_the_sdist_is_the_same_byte_for_byte(built: tuple[Path, Path], tmp_path: Path) -> None:
    """So the sdist is complete, and a second build is equal whatever the times of the files are."""
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in source.rglob("*"):
        os.utime(path, (1, 1))

    again = packages.build(source, tmp_path / "again")

    assert [path.read_bytes() for path in built] == [path.read_bytes() for path in again]


def test_the_wheel_runs_alone_and_says_its_commit(wheel: Path) -> None:
    programs = packages.installed(wheel)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(wheel.parent)}
    commands = [["modelyard", "--version"], ["python", "-m", "modelyard", "--version"]]
    texts = [
        packages.run([str(programs / command[0]), *command[1:]], cwd=wheel.parent, environment=environment)
        for command in commands
    ]

    commit = r" \(commit [0-9a-f]{12}(-dirty)?\)" if (packages.ROOT / ".git").exists() else ""
    assert texts[0] == texts[1]
    assert re.fullmatch(rf"modelyard, version {re.escape(__version__)}{commit}\n", texts[0])


def test_the_bill_of_materials_names_what_the_wheel_needs(wheel: Path, tmp_path: Path) -> None:
    programs, path = packages.installed(wheel), tmp_path / "bill.json"
    requirements.module("cyclonedx_py")
    packages.run([str(packages.ROOT / "scripts" / "bill-of-materials"), str(programs / "python"), str(path)])
    bill = json.loads(path.read_text())

    components = {component["name"].lower() for component in bill["components"]}
    assert "CycloneDX" == bill["bomFormat"]
    assert ("modelyard", __version__) == (
        bill["metadata"]["component"]["name"],
        bill["metadata"]["component"]["version"],
    )
    assert {"starlette", "sqlalchemy", "numpy"} <= components
    assert not components & {"pytest", "pip", "hatchling"}


def newest_python() -> str:
    """Return the newest Python of this machine that is newer than the running one."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(":") if folder]
    folders += Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin")
    versions: dict[tuple[int, int], str] = {}
    for program in sorted({str(path) for folder in folders for path in folder.glob("python3.[1-9][0-9]")}):
        say = [program, "-c", "import sys; print(*sys.version_info[:2])"]
        done = subprocess.run(say, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:  # pyenv has a program for each version, also for those that are not chosen
            major, minor = done.stdout.split()
            versions.setdefault((int(major), int(minor)), program)
    newer = [version for version in versions if version > sys.version_info[:2]]
    if not newer:
        requirements.absent("no Python is installed that is newer than the one that runs the tests")
    return versions[max(newer)]


def test_the_newest_python_passes_a_part_of_the_tests(wheel: Path, tmp_path: Path) -> None:
    programs = packages.installed(wheel, newest_python(), *SELECTION_NEEDS)
    for name in ("tests", "docs", "pyproject.toml"):
        path = packages.ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, tmp_path / name)
    command = [str(programs / "python"), "-m", "pytest", "-p", "no:cacheprovider", *SELECTION]
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "CI"}}
    output = packages.run(command, cwd=tmp_path, environment=environment)

    assert re.search(r"\d{2,} passed", output), output
