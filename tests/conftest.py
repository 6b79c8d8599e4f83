"""Fixtures that several test files share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.civitai.dumps import read_paths
from modelyard.facts import Record

from . import compiled_statements, lock_watch, npm, real_input, requirements
from .app_fixture import Address, App, listening, models_of_kinds_that_are_rare, open_app, private_models_of_red
from .databases import open_at, postgres, store, url  # noqa: F401 # fixtures: pytest finds them here by their names
from .swift_server import SwiftServer, swift_server

SDK = "novita-sdk@3.1.3"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, so that the others run beside it and nobody waits for it in the end."""
    items.sort(key=lambda item: item.path.name != "test_chaos.py")


@pytest.fixture(scope="session", autouse=True)
def _no_login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands do not see what `modelyard login` keeps for the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _watch_lock() -> Iterator[None]:
    """Nobody calls a file store or another server while all writers wait for them."""
    with lock_watch.watching():
        yield


@pytest.fixture(scope="session", autouse=True)
def _share_compiled_statements() -> Iterator[None]:
    with compiled_statements.shared():
        yield


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    """An empty Modelyard."""
    with open_app(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    """An S3-compatible store for all; a test makes a bucket of its own."""
    requirements.module("swift")
    with swift_server(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded input."""
    return real_input.data_dir()


@pytest.fixture(scope="session")
def real_yard(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The models that Civitai recorded, some of rare kinds, and private ones of the team red. Not to be changed."""
    with open_app(tmp_path_factory.mktemp("real")) as opened:
        records = (found for found in read_paths([data_dir / "civitai"]) if isinstance(found, Record))
        for _ in opened.catalog.register_many(records):
            pass
        opened.put(*models_of_kinds_that_are_rare(), *private_models_of_red())
        yield opened


@pytest.fixture(scope="session")
def real_address(real_yard: App) -> Iterator[Address]:
    """Where ``real_yard`` answers over HTTP."""
    with listening(real_yard) as address:
        yield address


@pytest.fixture(scope="session")
def sdk_folder(request: pytest.FixtureRequest) -> Path:
    """A folder with the SDK installed."""
    return npm.installed(request.config, SDK)
