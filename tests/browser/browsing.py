"""Chromium, as Debian packages it, driven by Playwright; and windows whose every misstep is noted.

Shared by the tests, by ``scripts/screenshots`` and by ``benchmarks/page.py``. Playwright's own browsers are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests import requirements

if TYPE_CHECKING:  # at run time it may be absent: parts says so
    from playwright.sync_api import Browser, Page, Request

# Nothing is waited for by time. This is how long a condition may take on the slowest machine before a test gives up.
PATIENCE_MS = 90_000
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # A browser asks its maker for updates and word lists; the tests hold that nobody else is asked.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser, and end it."""
    playwright = requirements.module("playwright.sync_api")
    program = requirements.program("chromium")
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driving:
        browser = driving.chromium.launch(executable_path=program, args=[*_ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Browsing:
    """Windows onto one server. ``missteps``: errors on the console, uncaught ones, requests to anybody else.

    ``expected`` holds what the console may say: Chromium reports each answer that is an error.
    """

    browser: Browser
    url: str
    missteps: list[str] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)

    def window(self, key: str | None = None, *, width: int = 1280, height: int = 800, **options: Any) -> Page:
        """Open a window of its own cookies; with a key, signed in."""
        context = self.browser.new_context(base_url=self.url, viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda error: self.missteps.append(f"uncaught: {error.error}"))
        context.on("request", self._look)
        page = context.new_page()
        if key is not None:
            sign_in(page, key)
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.missteps.append(f"{kind}: {text}")

    def _look(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob", "about") and address.netloc != urlsplit(self.url).netloc:
            self.missteps.append(f"asked {request.url}")


def sign_in(page: Page, key: str) -> None:
    """Sign in as a person does, and see the gallery."""
    page.goto("/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
