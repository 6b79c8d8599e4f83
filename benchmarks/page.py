"""What the pages cost the server, and how they feel in a browser, over a million models.

    cpu         CPU of the server's process per request, µs: a page's HTML beside the JSON that it shows, both gzipped.
                  again      the first page, asked for before and unchanged since: as most visitors ask for it
                  change     the first page right after a change: results and counts, beside both as JSON
                  search     words never asked for before: results and counts, beside both as JSON
                  scroll     the next page, as scrolling asks for it, beside the same page as JSON
    size        bytes on the wire for a first visit of each page with nothing kept: HTML, CSS, scripts, drawings, all
                gzipped
    browser     Chromium, a first visit with nothing kept, median of the runs: first and largest contentful paint,
                layout shift and total blocking time, as Lighthouse defines them, on a desk, and on a phone as it
                imagines one (processor four times slower, 150 ms and 1.6 Mbit/s to the server)
    keystroke   from a key going down to its answer being painted: words typed at 120 ms a key, every key counted whose
                answer was drawn before the next key

Corpus: the home that scale.py builds (synthesis.py, seeded), signed in as one of its teams. `change` writes a model.

    python -m benchmarks.scale --home FOLDER --build
    python -m benchmarks.page --home FOLDER

Needs Debian's chromium, and playwright (extra `test`). Last figures: docs/decide/benchmarks.md
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from benchmarks import http as driving
from benchmarks import serving, synthesis
from benchmarks.search import machine
from modelyard.store import open_store
from tests.browser.browsing import Browsing, chromium

if TYPE_CHECKING:  # tests.browser.browsing says so where it is absent
    from playwright.sync_api import Page

KEY_MS = 120
SEARCHES = 200
LISTING, FACETS = "/v3/model?pagination.limit=24", "/v3/model/facets"
# The other pages; the three largest are told.
PAGES = (
    *("/models/{model}", "/upload", "/team", "/keys", "/webhooks", "/audit", "/fetches", "/sends", "/deleted"),
    *("/resolve", "/status", "/docs", "/sign-in"),
)
GZIP = "Accept-Encoding: gzip\r\n"
DESK = {"width": 1350, "height": 940}
PHONE = {"width": 412, "height": 823}
# Lighthouse's own: "slow 4G" and a mid-tier phone.
_PHONE_NETWORK = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
_PHONE_SLOWDOWN = 4

# What the browser is asked to note before a page's first byte.
_NOTE = """
window.noted = { shift: 0, largest: 0, tasks: [] };
const note = (type, each) =>
  new PerformanceObserver(list => list.getEntries().forEach(each)).observe({ type, buffered: true });
note("layout-shift", entry => { if (!entry.hadRecentInput) noted.shift += entry.value; });
note("largest-contentful-paint", entry => { noted.largest = entry.startTime; });
note("longtask", entry => { noted.tasks.push([entry.startTime, entry.duration]); });
"""
_READ = """() => ({ ...noted, first: performance.getEntriesByName("first-contentful-paint")[0].startTime })"""
_KEYS = """() => {
window.keys = [];
let down = 0;
document.getElementById("query").addEventListener("keydown", event => { down = event.timeStamp; });
new PerformanceObserver(list => {
  const from = down;
  for (const entry of list.getEntriesByName("answer drawn")) {
    // The frame that shows it: a task after the next one's drawing.
    requestAnimationFrame(() => setTimeout(() => { if (from === down) keys.push(performance.now() - from); }));
  }
}).observe({ type: "measure" });
}"""


@dataclass(frozen=True)
class Finding:
    """One figure; ``most`` is the target, if there is one."""

    what: str
    value: float
    unit: str
    most: float | None = None


# --- CPU and size ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """How the two kinds of requests are signed."""

    key: str
    cookie: str

    def html(self, target: str) -> bytes:
        return _request(target, f"Cookie: {self.cookie}\r\n")

    def json(self, target: str) -> bytes:
        return _request(target, f"Authorization: Bearer {self.key}\r\n")


def _request(target: str, extra: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\n{extra}{GZIP}\r\n".encode()


def sign_in(port: int, key: str) -> Caller:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/sign-in", urlencode({"key": key}))
    cookie = connection.getresponse().getheader("set-cookie")
    connection.close()
    assert cookie, "the key was refused"
    return Caller(key, cookie.partition(";")[0])


def microseconds(server: driving.Server, requests: Sequence[bytes], width: int = driving.CONNECTIONS) -> float:
    """Return the CPU per request over these requests, each sent once."""
    before = driving.cpu_seconds(server.process_id)
    status, _ = driving.drive(server.port, requests, len(requests), width)
    assert status == 200, status
    return (driving.cpu_seconds(server.process_id) - before) / len(requests) * 1e6


def cpu(home: Path, server: driving.Server, caller: Caller, rounds: int) -> Iterator[Finding]:
    again = [caller.html("/")] * 400, [caller.json(LISTING)] * 400
    yield from _beside("the first page, asked for again", _lowest(server, [again] * rounds))
    yield from _beside("the first page after a change, with its counts", changed(home, server, caller, rounds))
    words = [query.terms for _, query in synthesis.query_mix(11, SEARCHES) if query.terms]
    asked = [quote(f"filter.query={' '.join(terms)}", safe="=") for terms in dict.fromkeys(words)]
    # Every other one, as the mix is sorted by kind; whole turns of all connections.
    half = len(asked) // 2 // driving.CONNECTIONS * driving.CONNECTIONS
    html, shown = asked[::2][:half], asked[1::2][:half]
    of_html = microseconds(server, [caller.html(f"/?{query}") for query in html])
    of_models = microseconds(server, [caller.json(f"{LISTING}&{query}") for query in shown])
    of_counts = microseconds(server, [caller.json(f"{FACETS}?{query}") for query in shown])
    yield from _beside("a search never asked before, with its counts", (of_html, of_models + of_counts))
    skipped = [range(at, at + 24 * 200, 24) for at in (24_000, 48_012)]
    of_html = microseconds(server, [caller.html(f"/parts/results?pagination.cursor=c_{n}") for n in skipped[0]])
    of_models = microseconds(server, [caller.json(f"{LISTING}&pagination.cursor=c_{n}") for n in skipped[1]])
    yield from _beside("the next page, scrolling", (of_html, of_models), most=None)


def changed(home: Path, server: driving.Server, caller: Caller, rounds: int) -> tuple[float, float]:
    """Return the CPU of the first request after each of some changes, for the page, and for what it shows as JSON."""
    spent: dict[bytes, list[float]] = {}
    requests = (caller.html("/"), caller.json(LISTING), caller.json(FACETS))
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    with store.snapshot() as snapshot:
        (some, *_) = islice(snapshot.models(), 1)
    for request in requests * (rounds + 1):
        with store.transaction() as writing:
            writing.put(writing.entries([some.id]).values())
        # The first answer after a write has the index follow it, whoever asks.
        microseconds(server, [caller.json("/v3/model?pagination.limit=1&filter.source=training")], width=1)
        spent.setdefault(request, []).append(microseconds(server, [request], width=1))
    store.close()
    html, models, counts = (statistics.median(spent[request][1:]) for request in requests)
    return html, models + counts


def _lowest(server: driving.Server, rounds: list[tuple[list[bytes], list[bytes]]]) -> tuple[float, float]:
    microseconds(server, rounds[0][0])
    microseconds(server, rounds[0][1])
    measured = [(microseconds(server, html), microseconds(server, shown)) for html, shown in rounds[1:]]
    return min(html for html, _ in measured), min(shown for _, shown in measured)


def _beside(what: str, pair: tuple[float, float], most: float | None = 3) -> Iterator[Finding]:
    html, shown = pair
    yield Finding(f"{what}: CPU of the HTML", html, "µs")
    yield Finding(f"{what}: CPU of the JSON it shows", shown, "µs")
    yield Finding(f"{what}: times the JSON", html / shown, "", most=most)


def size(server: driving.Server, caller: Caller) -> Iterator[Finding]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def fetched(target: str) -> tuple[int, bytes]:
        connection.request("GET", target, headers={"Cookie": caller.cookie, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        return len(body), gzip.decompress(body) if answer.getheader("content-encoding") else body

    def first_visit(target: str) -> tuple[int, int]:
        html_bytes, html = fetched(target)
        parts = set(re.findall(rb'(?:href|src)="(/static/[^"#]+)', html))
        return html_bytes, html_bytes + sum(fetched(address.decode())[0] for address in parts)

    html_bytes, total = first_visit("/")
    yield Finding("HTML of the first page, gzip", html_bytes / 1000, "kB")
    yield Finding("with CSS, scripts, icon and drawings", total / 1000, "kB", most=70)
    connection.request("GET", "/v3/model?pagination.limit=1", headers={"Authorization": f"Bearer {caller.key}"})
    model = json.loads(connection.getresponse().read())["models"][0]["id"]
    totals = {page: first_visit(page.format(model=model))[1] for page in PAGES}
    for page, total in sorted(totals.items(), key=lambda item: -item[1])[:3]:
        yield Finding(f"{page} with CSS, scripts, icon and drawings", total / 1000, "kB", most=70)
    connection.close()


# --- In the browser --------------------------------------------------------------------------------------------------


def visits(browsing: Browsing, key: str, runs: int) -> Iterator[Finding]:
    for where, viewport in (("desk", DESK), ("phone", PHONE)):
        measured = [_visit(browsing, key, viewport, is_phone=where == "phone") for _ in range(runs)]
        for name, what in (("first", "first contentful paint"), ("largest", "largest contentful paint")):
            yield Finding(f"{where}: {what}", statistics.median(one[name] for one in measured), "ms")
        yield Finding(f"{where}: layout shift, worst of {runs}", max(one["shift"] for one in measured), "", most=0)
        yield Finding(f"{where}: total blocking time", statistics.median(one["blocking"] for one in measured), "ms")


def _visit(browsing: Browsing, key: str, viewport: dict[str, int], *, is_phone: bool) -> dict[str, float]:
    page = browsing.window(key, **viewport)
    page.add_init_script(_NOTE)
    speaking = page.context.new_cdp_session(page)
    speaking.send("Network.clearBrowserCache")
    if is_phone:
        speaking.send("Network.emulateNetworkConditions", _PHONE_NETWORK)
        speaking.send("Emulation.setCPUThrottlingRate", {"rate": _PHONE_SLOWDOWN})
    page.goto("/", wait_until="networkidle")
    page.wait_for_timeout(500)  # what a page does by itself after it has loaded counts too
    noted: dict[str, Any] = page.evaluate(_READ)
    page.context.close()
    blocking = sum(max(0.0, took - 50) for began, took in noted["tasks"] if began + took > noted["first"])
    return {name: noted[name] for name in ("first", "largest", "shift")} | {"blocking": blocking}


def keystrokes(browsing: Browsing, key: str) -> Iterator[Finding]:
    words = dict.fromkeys(" ".join(query.terms) for _, query in synthesis.query_mix(5, 10) if query.terms)
    page = browsing.window(key, **DESK)
    page.goto("/")
    page.evaluate(_KEYS)
    pressed = 0
    for word in [word for word in words if word.isascii()][:12]:
        page.locator("#query").click()
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.press("Delete")
        page.wait_for_timeout(1_000)
        page.evaluate("() => { keys.kept = [...(keys.kept || []), ...keys.splice(0)]; }")
        pressed += _typed(page, word[:12])
        page.wait_for_timeout(1_000)
    taken: list[float] = page.evaluate("() => [...(keys.kept || []), ...keys]")
    page.context.close()
    yield Finding("keys pressed", pressed, "")
    yield Finding("keys whose answer was drawn before the next one", len(taken), "")
    yield Finding("key to its answer painted, median", statistics.median(taken), "ms", most=100)
    yield Finding("key to its answer painted, 9 of 10 within", sorted(taken)[len(taken) * 9 // 10], "ms")


def _typed(page: Page, word: str) -> int:
    began = time.monotonic()
    for at, letter in enumerate(word):
        page.keyboard.press("Space" if letter == " " else letter)
        page.wait_for_timeout(max(0.0, (at + 1) * KEY_MS - (time.monotonic() - began) * 1000))
    return len(word)


def table(findings: list[Finding]) -> str:
    shown = ["| | Measured | Target |", "|---|---:|---:|"]
    for found in findings:
        digits = (
            f"{found.value:,.2f}" if found.value < 10 and found.value != round(found.value) else f"{found.value:,.0f}"
        )
        wanted = f"≤ {found.most:g} {found.unit}".strip() if found.most is not None else "–"
        shown.append(f"| {found.what} | {digits} {found.unit}".rstrip() + f" | {wanted} |")
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    key = serving.key_of(options.home)
    findings: list[Finding] = []
    with driving.started("cached", options.home) as server:
        caller = sign_in(server.port, key)
        findings += cpu(options.home, server, caller, options.rounds)
        findings += size(server, caller)
        with chromium() as browser:
            browsing = Browsing(browser, f"http://127.0.0.1:{server.port}")
            findings += visits(browsing, key, options.runs)
            findings += keystrokes(browsing, key)
        assert not browsing.missteps, browsing.missteps
    print(json.dumps([vars(found) for found in findings]) if options.json else f"{machine()}\n\n{table(findings)}")


if __name__ == "__main__":
    main()
