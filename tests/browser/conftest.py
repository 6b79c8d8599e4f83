"""One server and one browser for all tests here: the real command, over a catalogue of some hundred invented models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from modelyard import demo
from modelyard.auth import Auth
from modelyard.catalog import open_catalog
from modelyard.domain import Hashes, Licence, Scope, Source, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.store import Store, open_store
from tests import npm
from tests.fetch_fixture import LOCAL
from tests.process_commands import serving

from .browsing import Browsing, chromium

if TYPE_CHECKING:  # at run time it may be absent: chromium() says so
    from playwright.sync_api import Browser, Page

AXE = "axe-core@4.10.3"
MODELS = 640
EVIL_ID = 4_000
# What a model may be called upstream. None of it may be anything but text.
EVIL = (
    '<script>document.title="owned"</script>'
    """<img src=x onerror="document.title='owned'">'"--></style></title>&lt;b&gt;"""
)
EVIL_COVERS = ('https://elsewhere.example/a.png" onerror="alert(1)', "javascript:alert(1)", "//x.example")
EVERYTHING = (Scope.READ, Scope.WRITE, Scope.ADMIN)


@dataclass
class Yard:
    """What the tests know of the server: its address, its models, and keys for teams of their own."""

    url: str
    records: list[Record]
    access: Auth
    store: Store
    names: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000)))

    def key(self, *scopes: Scope, team: str | None = None) -> str:
        """Return a new key that may do everything, or what is said, of a team of its own, or the one that is said."""
        key, _ = self.access.create_key(team or f"team{next(self.names)}", scopes or EVERYTHING, None)
        return key


OPERATORS = "operators"


def records() -> list[Record]:
    """The demo's first public models and a few whose texts attack."""
    return [*islice(demo.records(), MODELS), *_evil()]


def _evil() -> Iterator[Record]:
    for number in range(3):
        sha256 = f"{number + 1:064X}"
        facts = Facts(
            name=f"{EVIL} {number}",
            sd_name=f"{EVIL}_{number}.safetensors",
            type=model_type("LORA" if number else EVIL),
            base_model=EVIL,
            base_model_type=EVIL,
            tags=("evil", EVIL, "javascript:alert(1)"),
            cover_url=('https://elsewhere.example/a.png" onerror="alert(1)', "javascript:alert(1)", "//x.example")[
                number
            ],
            rank=10_000_000 + number,
            hashes=Hashes(sha256=sha256, autov2=sha256[:10]),
            notes=EVIL,
            licence=Licence(name=EVIL),
            trigger_words=(EVIL, "javascript:alert(1)"),
            file_name=EVIL,
            evidence=(EVIL,),
            upstream_model_id=1,
            title=EVIL,
        )
        yield Record(EVIL_ID + number, Source.CIVITAI, Layer.UPSTREAM, facts)


@pytest.fixture(scope="package")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A server of one worker. Strangers may look at what is public."""
    home = tmp_path_factory.mktemp("browsed")
    # The tests make many teams, so the operators' one is named.
    settings = {"anonymous_access": "public", "operator_team": OPERATORS} | LOCAL
    (home / "modelyard.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    store = open_store(f"sqlite:///{home / 'modelyard.sqlite'}")
    catalog = open_catalog(store)
    models = records()
    for outcome in catalog.register_many(models):
        assert outcome.result != "skipped", outcome
    catalog.close()
    store = open_store(f"sqlite:///{home / 'modelyard.sqlite'}")
    with serving(home, workers=1, key="") as server:
        yield Yard(f"http://127.0.0.1:{server.port}", models, Auth(store), store)
    store.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, for this folder only: while Playwright drives it, this thread can run no loop of its own."""
    with chromium() as chromium_browser:
        yield chromium_browser


@pytest.fixture
def browsing(browser: Browser, yard: Yard) -> Iterator[Browsing]:
    """Opens windows; when the test is done, nothing may have gone wrong in any of them."""
    windows = Browsing(browser, yard.url)
    yield windows
    for context in [*browser.contexts]:
        context.close()
    assert [] == windows.missteps


@pytest.fixture
def page(browsing: Browsing) -> Page:
    """A stranger's window."""
    return browsing.window()


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> Callable[[Page], list[str]]:
    """Looks for what axe-core objects to on a page."""
    source = (npm.installed(request.config, AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def violations(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
        if not page.evaluate("() => 'axe' in window"):
            page.evaluate(source)
        options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        report = page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{page.url}: {violation['id']}: {violation['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for violation in report["violations"]
            for node in violation["nodes"]
        ]

    return violations
