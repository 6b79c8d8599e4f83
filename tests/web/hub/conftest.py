"""One server with models of every kind, and the real clients that talk to it, once for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hub_clients
from tests.app_fixture import Address, listening, open_app
from tests.hub_clients import HubClient
from tests.transfers import WRITER, checking
from tests.web.hub.bench import Bench
from tests.web.hub.stocked import Stocked, stocked


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    with stocked(tmp_path_factory.mktemp("stocked")) as opened:
        yield opened


@pytest.fixture(scope="session")
def stock_address(stock: Stocked) -> Iterator[Address]:
    with listening(stock.yard) as address:
        yield address


@pytest.fixture(params=hub_clients.GENERATIONS)
def client(request: pytest.FixtureRequest, stock: Stocked, stock_address: Address, tmp_path: Path) -> HubClient:
    """A generation of huggingface_hub with an empty cache, and the key of team red."""
    programs = hub_clients.installed(request.config, request.param)
    return HubClient(programs, f"{stock_address.url}/hf", stock.yard.key("red", *WRITER), tmp_path / "home")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_app(tmp_path) as yard:
        yield Bench(yard, checking(yard, tmp_path))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A repository that no test fills."""
    home = tmp_path_factory.mktemp("hub")
    with open_app(home) as yard:
        opened = Bench(yard, checking(yard, home))
        opened.create()
        yield opened
