"""Pictures of every page, over the demo's catalogue: for ``scripts/screenshots``."""

from __future__ import annotations

import argparse
import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from modelyard import demo
from modelyard.auth import Auth
from modelyard.store import open_store
from tests.browser.browsing import Browsing, chromium
from tests.browser.conftest import EVERYTHING
from tests.pictures import picture
from tests.process_commands import serving
from tests.transfers import lora_bytes

if TYPE_CHECKING:  # at run time it may be absent: chromium() says so
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "screenshots"
SHOWN = ROOT / "docs" / "gallery.webp"
SHOWN_BYTES_MAX = 200_000


@dataclass(frozen=True)
class Look:
    """A window to look through."""

    name: str
    width: int
    height: int
    scheme: str


LOOKS = (
    Look("light", 1360, 900, "light"),
    Look("dark", 1360, 900, "dark"),
    Look("phone", 390, 844, "light"),
    Look("narrowest", 320, 640, "dark"),
)


@dataclass
class Album:
    """Takes the pictures that were asked for; all, where none was named."""

    page: Page
    look: Look
    names: set[str]
    paths: list[Path] = field(default_factory=list)

    def take(self, name: str, address: str = "", *, full_page: bool = True) -> None:
        if self.names and name not in self.names:
            return
        if address:
            self.page.goto(address, wait_until="networkidle")
        path = FOLDER / f"{name}-{self.look.name}.png"
        self.page.screenshot(path=path, full_page=full_page)
        self.paths.append(path)


def take_all(browsing: Browsing, key: str, names: set[str]) -> int:
    """Take every page's picture through every window; return how many."""
    FOLDER.mkdir(exist_ok=True)
    own = upload(browsing, key)
    count = 0
    for look in LOOKS:
        browsing.expected.add("404")
        album = Album(browsing.window(width=look.width, height=look.height, color_scheme=look.scheme), look, names)
        album.take("sign-in", "/sign-in")
        page = browsing.window(key, width=look.width, height=look.height, color_scheme=look.scheme)
        album.page = page
        album.take("gallery", "/", full_page=False)
        album.take("search", "/?filter.search=night&filter.types=lora", full_page=False)
        album.take("nothing", "/?filter.search=lihgthouse")
        page.goto("/")
        popular = page.locator(".card a").first.get_attribute("href") or ""
        album.take("model", popular)
        album.take("own", own)
        album.take("edit", f"{own}/edit")
        album.take("upload", "/upload")
        album.take("keys", "/keys")
        album.take("team", "/team")
        album.take("sends", "/sends")
        album.take("covers", "/covers")
        album.take("deleted", "/deleted")
        album.take("status", "/status")
        album.take("api", "/docs")
        album.take("resolve", "/resolve")
        album.take("missing", "/models/1")
        count += len(album.paths)
        for context in [*browsing.browser.contexts]:
            context.close()
    return count


def upload(browsing: Browsing, key: str) -> str:
    """Upload a model with a cover, and return its page's address."""
    page = browsing.window(key)
    page.goto("/upload")
    file = {"name": "harbour_lights.safetensors", "mimeType": "application/octet-stream", "buffer": lora_bytes()}
    page.get_by_label("Drop model files here").set_input_files(file)
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("link", name="Show the model").click()
    page.get_by_role("link", name="Download").wait_for()
    address = page.url
    page.goto(f"{address}/edit")
    page.get_by_label("Cover image").set_input_files(
        {"name": "cover.png", "mimeType": "image/png", "buffer": picture()}
    )
    page.get_by_role("button", name="Save").last.click()
    page.get_by_role("link", name="Download").wait_for()
    page.context.close()
    return address


def show(browsing: Browsing, key: str) -> None:
    """Make the picture of the README: small enough to be kept."""
    page = browsing.window(key, width=1360, height=900)
    page.goto("/", wait_until="networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(SHOWN, "WEBP", quality=82, method=6)
    assert SHOWN.stat().st_size <= SHOWN_BYTES_MAX, SHOWN.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="the pictures to take; without any, all")
    parser.add_argument("--readme", action="store_true", help="the one that the README shows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        store = open_store(f"sqlite:///{home / 'modelyard.sqlite'}")
        demo.prepare(store, home, lambda _: None)
        store.close()
        store = open_store(f"sqlite:///{home / 'modelyard.sqlite'}")
        key, _ = Auth(store).create_key(demo.TEAM, EVERYTHING, None)
        store.close()
        with serving(home, workers=1, key=key) as server, chromium() as browser:
            browsing = Browsing(browser, f"http://127.0.0.1:{server.port}")
            if options.readme:
                show(browsing, key)
                print(SHOWN.relative_to(ROOT), f"{SHOWN.stat().st_size:,} bytes")
            else:
                print(take_all(browsing, key, set(options.names)), "pictures in", FOLDER.relative_to(ROOT))


if __name__ == "__main__":
    main()
