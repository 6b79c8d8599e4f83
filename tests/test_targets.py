"""Generators that fetch a file: ComfyUI's and InvokeAI's words over real HTTP, and everything that goes wrong.

The servers are stand-ins that answer what the two programs answer; neither runs here.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from modelyard import errors, targets
from modelyard.outbound import AddressPolicy, Outbound, origin_of
from modelyard.targets import Progress, Shipment, State, Target
from tests.upstream import Upstream, serve_upstream

LINK = "http://models.example/files/ab/glow.safetensors?for=1&key=2&signature=x"
SHIPMENT = Shipment(LINK, "glow.safetensors", "lora")
VERSION, INSTALL = "/api/v1/app/version", "/api/v2/models/install"
DOWNLOAD, TASK = "/api/assets/download", "/api/tasks/t1"
HTML = b"<!doctype html><title>ComfyUI</title>"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as opened:
        for path in (VERSION, DOWNLOAD):
            opened.put(path, lambda handler: handler.reply(HTML, 404, content_type="text/html"))
        yield opened


def says(*answers: object, status: int = 200, seen: list[Any] | None = None) -> Callable[[Any], None]:
    """Answer each of these in turn, and the last one again; note the bodies of the requests."""
    left = list(answers)

    def reply(handler: Any) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if seen is not None:
            seen.append(json.loads(body) if body else None)
        answer = left.pop(0) if len(left) > 1 else left[0]
        handler.reply(answer if isinstance(answer, bytes) else json.dumps(answer).encode(), status)

    return reply


def deliver(upstream: Upstream, waits: list[float] | None = None) -> list[Progress]:
    shown: list[Progress] = []
    outbound = Outbound(AddressPolicy(origins={origin_of(upstream.url)}, is_exclusive=True))
    sleep = (waits if waits is not None else []).append
    targets.deliver(outbound, Target(upstream.url, upstream.url), SHIPMENT, shown.append, sleep)
    return shown


def comfyui(upstream: Upstream, *tasks: object, seen: list[Any] | None = None) -> None:
    upstream.put(DOWNLOAD, says({"task_id": "t1", "status": "created"}, status=202, seen=seen))
    upstream.put(TASK, says(*tasks))


def test_comfyui_fetches_the_file_into_the_folder_of_its_type(upstream: Upstream) -> None:
    seen: list[Any] = []
    comfyui(
        upstream, {"status": "running", "bytes_downloaded": 3, "bytes_total": 9}, {"status": "completed"}, seen=seen
    )
    waits: list[float] = []

    shown = deliver(upstream, waits)

    tags = ["models", "model_type:loras"]
    assert [{"source_url": LINK, "filename": "glow.safetensors", "tags": tags}] == seen
    assert [Progress(State.RUNNING, "", 3, 9), Progress(State.DONE)] == shown
    assert [1.0] == waits


@pytest.mark.parametrize("asset", [{"id": "a1", "asset_hash": "blake3:1"}, {"id": "a1"}, {"asset_hash": "blake3:1"}])
def test_comfyui_that_has_the_file_is_done_at_once(upstream: Upstream, asset: dict[str, str]) -> None:
    upstream.put(DOWNLOAD, says({"name": "glow.safetensors"} | asset))

    assert [Progress(State.DONE)] == deliver(upstream)


def test_invokeai_installs_the_file(upstream: Upstream) -> None:
    seen: list[Any] = []
    upstream.put(VERSION, says({"version": "6.9.0"}))
    address = upstream.put(
        f"{INSTALL}/7",
        says(
            {"id": 7, "status": "downloading", "bytes": 1, "total_bytes": 2},
            {"id": 7, "status": "running"},
            {"id": 7, "status": "completed"},
        ),
    )
    source = LINK.replace(":", "%3A").replace("/", "%2F").replace("?", "%3F").replace("=", "%3D").replace("&", "%26")
    upstream.put(f"{INSTALL}?source={source}", says({"id": 7, "status": "waiting"}, status=201, seen=seen))

    shown = deliver(upstream)

    assert [{}] == seen
    assert address.endswith("/install/7")
    assert [State.RUNNING, State.RUNNING, State.DONE] == [progress.state for progress in shown]
    assert (1, 2) == (shown[0].done_bytes, shown[0].total_bytes)


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (HTML, 404, "cannot fetch files: it has no POST /api/assets/download; run `modelyard pull --layout comfyui"),
        (b"405: Method Not Allowed", 405, "cannot fetch files"),
        ({"error": {"message": "the disk\nis full"}}, 500, "refuses the file: the disk is full"),
        ({"detail": [{"msg": "not a model"}]}, 422, "refuses the file: not a model"),
        (b"", 401, "does not let this server in (status 401)"),
        (HTML, 200, "answers with HTML, not with JSON"),
        ([1], 200, "answers with a list"),
        ({"status": "created"}, 202, "answers without the id of a task"),
        (b"{" * 200_000, 200, "answers with something else, not with JSON"),
    ],
)
def test_a_comfyui_that_does_not_take_the_file_is_told_of_in_words(
    upstream: Upstream, answer: object, status: int, message: str
) -> None:
    upstream.put(DOWNLOAD, says(answer, status=status))

    with pytest.raises(errors.UpstreamRefused) as refused:
        deliver(upstream)

    assert message in refused.value.message
    assert upstream.url in refused.value.message
    assert "signature" not in refused.value.message


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (HTML, 404, "is too old: it has no POST /api/v2/models/install"),
        ({"status": "waiting"}, 201, "answers without the id of its job"),
        ({"id": True}, 201, "answers without the id of its job"),
        ({"detail": "no space"}, 415, "refuses the file: no space"),
    ],
)
def test_an_invokeai_that_does_not_take_the_file_is_told_of_in_words(
    upstream: Upstream, answer: object, status: int, message: str
) -> None:
    upstream.put(VERSION, says({"version": "6.9.0"}))
    upstream.put(f"{INSTALL}?source={quote(LINK, safe='')}", says(answer, status=status))

    with pytest.raises(errors.UpstreamRefused) as refused:
        deliver(upstream)

    assert message in refused.value.message
    assert "signature" not in refused.value.message


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"status": "failed", "error_message": "403 from the link"}, "ComfyUI at {url} failed: 403 from the link"),
        ({"status": "cancelled"}, "ComfyUI at {url} failed: cancelled"),
    ],
)
def test_success_is_not_claimed_when_the_generator_fails_later(upstream: Upstream, task: object, message: str) -> None:
    comfyui(upstream, {"status": "running"}, task)

    with pytest.raises(errors.UpstreamRefused, match=message.format(url=upstream.url)):
        deliver(upstream)


def test_a_job_that_the_generator_forgot_has_failed(upstream: Upstream) -> None:
    comfyui(upstream)
    upstream.put(TASK, lambda handler: handler.reply(b"{}", 404))

    with pytest.raises(errors.UpstreamRefused, match="does not know its own job 't1' any more"):
        deliver(upstream)


def test_a_generator_that_is_busy_or_restarts_is_asked_again(upstream: Upstream) -> None:
    comfyui(upstream)
    statuses = iter([503, 200])
    upstream.put(TASK, lambda handler: handler.reply(b'{"status":"completed"}', next(statuses), retry_after="0"))

    assert [Progress(State.DONE)] == deliver(upstream)


def test_a_reason_is_shown_without_control_characters(upstream: Upstream) -> None:
    upstream.put(DOWNLOAD, says({"detail": "no\0 space \x1b[31m"}, status=500))

    with pytest.raises(errors.UpstreamRefused, match=r"refuses the file: no space \[31m\Z"):
        deliver(upstream)


def test_the_request_to_fetch_is_made_once(upstream: Upstream) -> None:
    upstream.put(DOWNLOAD, says({"message": "busy"}, status=503))

    with pytest.raises(errors.UpstreamRefused, match="refuses the file: busy"):
        deliver(upstream)
    assert 1 == upstream.asked[DOWNLOAD]


def test_a_generator_cannot_lead_the_server_elsewhere(upstream: Upstream) -> None:
    upstream.put(DOWNLOAD, lambda handler: handler.reply(b"", 307, location="http://169.254.169.254/"))

    with pytest.raises(errors.UpstreamRefused):
        deliver(upstream)
    outbound = Outbound(AddressPolicy(origins={origin_of(upstream.url)}, is_exclusive=True))
    with pytest.raises(errors.AddressRefused, match="is not one of the servers"):
        targets.start(outbound, Target("elsewhere", "http://127.0.0.1:1"), SHIPMENT)


def test_nobody_answers() -> None:
    with serve_upstream() as closed:
        pass
    waits: Sequence[float] = []
    with pytest.raises(errors.UpstreamRefused, match="does not answer: cannot be reached"):
        deliver(closed, [*waits])
