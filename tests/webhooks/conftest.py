"""Fixtures of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_fixture import App, open_app
from tests.upstream import Upstream, serve_upstream
from tests.webhook_fixture import SETTINGS, Webhooking


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, **SETTINGS) as app:
        yield app


@pytest.fixture
def webhooking(yard: App, upstream: Upstream) -> Webhooking:
    return Webhooking(yard, upstream)
