"""Generators that fetch a model's file by a signed link: ComfyUI and InvokeAI, each in the words of its own API.

    ComfyUI   POST /api/assets/download {"source_url", "filename", "tags"}  → a task;  GET /api/tasks/<id>
    InvokeAI  POST /api/v2/models/install?source=<link>                     → a job;   GET /api/v2/models/install/<id>

``start`` asks the generator to fetch, ``poll`` asks how far it is. Nothing is "done" before the generator says so. The
caller's ``Outbound`` decides which servers may be requested; neither a link nor an answer is written to a log.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

import msgspec

from modelyard import errors
from modelyard.layouts import comfyui_folder
from modelyard.outbound import Answer, Limits, Outbound, TemporaryFailure, with_retries
from modelyard.retry import RetryPolicy

COMFYUI, INVOKEAI = "ComfyUI", "InvokeAI"
_PROGRAMS = {"comfyui": COMFYUI, "invokeai": INVOKEAI}
# A generator may wait for its network; the signed link must be good for longer.
LINK_SECONDS_MIN = 86_400
_LIMITS = Limits(seconds_max=20.0, header_seconds=15.0, idle_seconds=15.0, connect_seconds=5.0)
_BODY_BYTES_MAX = 2**20
_REASON_CHARS_MAX = 300
# A generator may repeat the signed link in its reason, or addresses of its own network.
_ADDRESS = re.compile(r"\w+://[^\s'\"<>]+")
_RETRIES = RetryPolicy(attempts_max=3, wait_seconds_first=0.5, wait_seconds_max=2.0, retry_after_seconds_max=5.0)
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
# Polls without an answer, one after the other: a generator may restart meanwhile.
_FAILURES_MAX = 30
_DONE = frozenset({"completed", "complete", "success", "succeeded", "finished", "done"})
_FAILED = frozenset({"failed", "error", "cancelled", "canceled"})


class State(Enum):
    """How far a generator is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Target:
    """A generator. Messages say its ``label``, never its URL. ``program`` is empty if it has to be found out."""

    label: str
    url: str
    program: str = ""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A file for a generator: a signed link to it, and what the generator calls it."""

    link: str
    file_name: str
    type_name: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A generator's work on a shipment. ``job`` is its own name for it; empty if it had the file at once."""

    program: str
    job: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What a generator says of its work. Bytes are None where it does not say them."""

    state: State
    reason: str = ""
    done_bytes: int | None = None
    total_bytes: int | None = None


def parse_targets(text: str) -> dict[str, Target]:
    """Return the generators of the setting ``targets`` by their names: ``name kind url``, separated by commas."""
    rows = (item.rsplit(None, 2) for item in text.split(",") if item)
    return {name: Target(name, url, _PROGRAMS[kind]) for name, kind, url in rows}


def reach(outbound: Outbound, target: Target) -> None:
    """Make a request that changes nothing. Raises TemporaryFailure if the generator does not answer now."""
    _open(outbound, f"{target.url}/api/v1/app/version").close()


def start(outbound: Outbound, target: Target, shipment: Shipment) -> Delivery:
    """Ask a generator to fetch a file.

    Raises UpstreamRefused if it cannot or will not, TemporaryFailure if it does not answer, AddressRefused.
    """
    if (target.program or _find_program(outbound, target.url)) == INVOKEAI:
        return _start_invokeai(outbound, target, shipment)
    return _start_comfyui(outbound, target, shipment)


def poll(outbound: Outbound, target: Target, delivery: Delivery) -> Progress:
    """Ask how far the generator is. Raises UpstreamRefused, TemporaryFailure or AddressRefused."""
    if not delivery.job:
        return Progress(State.DONE)
    path = "/api/v2/models/install/" if delivery.program == INVOKEAI else "/api/tasks/"
    address = f"{target.url}{path}{quote(delivery.job, safe='')}"
    with _open(outbound, address) as answer:
        if answer.status == 404:
            return Progress(State.FAILED, f"{delivery.program} does not know its own job {delivery.job!r} any more")
        body = _read(answer, target, delivery.program)
    return _progress_of(body)


def _find_program(outbound: Outbound, url: str) -> str:
    with _open(outbound, f"{url}/api/v1/app/version") as answer:
        if answer.status != 200:
            return COMFYUI
        try:
            body = answer.read_json(_BODY_BYTES_MAX)
        except (errors.DownloadFailed, errors.TooLarge):
            return COMFYUI  # a page, or another program
    return INVOKEAI if isinstance(body, dict) and "version" in body else COMFYUI


def _start_invokeai(outbound: Outbound, target: Target, shipment: Shipment) -> Delivery:
    address = f"{target.url}/api/v2/models/install?source={quote(shipment.link, safe='')}"
    with _open(outbound, address, {}) as answer:
        if answer.status in (404, 405):
            raise errors.UpstreamRefused(
                f"the InvokeAI at {target.label} is too old: it has no POST /api/v2/models/install"
            )
        body = _read(answer, target, INVOKEAI)
    job = body.get("id")
    if not isinstance(job, (int, str)) or isinstance(job, bool):
        raise errors.UpstreamRefused(f"InvokeAI at {target.label} answers without the id of its job")
    return Delivery(INVOKEAI, str(job)[:100])


def _start_comfyui(outbound: Outbound, target: Target, shipment: Shipment) -> Delivery:
    tags = ["models", f"model_type:{comfyui_folder(shipment.type_name)}"]
    request = {"source_url": shipment.link, "filename": shipment.file_name, "tags": tags}
    with _open(outbound, f"{target.url}/api/assets/download", request) as answer:
        if answer.status in (404, 405, 501):
            raise errors.UpstreamRefused(
                f"the ComfyUI at {target.label} cannot fetch files: it has no POST /api/assets/download; run "
                "`modelyard pull --layout comfyui --root FOLDER` on its machine instead"
            )
        body = _read(answer, target, COMFYUI)
    job = body.get("task_id")
    if isinstance(job, str) and job:
        return Delivery(COMFYUI, job[:100])
    if isinstance(body.get("id"), str) or isinstance(body.get("asset_hash"), str):
        return Delivery(COMFYUI, "")  # an asset: the file is there already
    raise errors.UpstreamRefused(f"ComfyUI at {target.label} answers without the id of a task")


def _open(outbound: Outbound, address: str, body: dict[str, Any] | None = None) -> Answer:
    if body is None:
        return with_retries(lambda: _ask(outbound, address), _RETRIES)
    # Not repeated: a generator that answers late would fetch the file twice.
    return outbound.open(
        address, method="POST", headers=_JSON, body=msgspec.json.encode(body), limits=_LIMITS, redirects_max=0
    )


def _ask(outbound: Outbound, address: str) -> Answer:
    answer = outbound.open(address, headers=_JSON, limits=_LIMITS, redirects_max=0)
    if answer.status in (429, 502, 503, 504):
        with answer:
            raise TemporaryFailure(f"{answer.host} answers with status {answer.status}", answer.retry_after_seconds)
    return answer


def _read(answer: Answer, target: Target, program: str) -> dict[str, Any]:
    """Return the JSON object of a successful answer. Raises UpstreamRefused with the generator's own reason."""
    if answer.status in (401, 403):
        raise errors.UpstreamRefused(
            f"{program} at {target.label} does not let this server in (status {answer.status})"
        )
    try:
        body = answer.read_json(_BODY_BYTES_MAX)
    except errors.DownloadFailed as problem:
        reason = problem.message.removeprefix(f"{answer.host} ")
        raise errors.UpstreamRefused(f"{program} at {target.label} {reason} (status {answer.status})") from None
    if not 200 <= answer.status < 300:
        reason = _reason_of(body) or f"status {answer.status}"
        raise errors.UpstreamRefused(f"{program} at {target.label} refuses the file: {reason}")
    if not isinstance(body, dict):
        raise errors.UpstreamRefused(f"{program} at {target.label} answers with a list, not with an object")
    return body


def _reason_of(body: object) -> str:
    if isinstance(body, dict):
        for name in ("error_reason", "error_message", "detail", "message", "error"):
            value = body.get(name)
            if isinstance(value, dict):
                value = value.get("message")
            if isinstance(value, list) and value and isinstance(value[0], dict):
                value = value[0].get("msg")
            if isinstance(value, str) and value.strip():
                text = "".join(c if c.isprintable() else " " for c in value)
                return _ADDRESS.sub("(address)", " ".join(text.split()))[:_REASON_CHARS_MAX]
    return ""


def _progress_of(body: dict[str, Any]) -> Progress:
    status = str(body.get("status", "")).lower()
    done, total = (_bytes_in(body, names) for names in (("bytes", "bytes_downloaded"), ("total_bytes", "bytes_total")))
    if status in _DONE:
        return Progress(State.DONE, "", done, total)
    if status in _FAILED:
        return Progress(State.FAILED, _reason_of(body) or status, done, total)
    return Progress(State.RUNNING, "", done, total)


def _bytes_in(body: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def deliver(
    outbound: Outbound,
    target: Target,
    shipment: Shipment,
    on_progress: Callable[[Progress], object],
    sleep: Callable[[float], object],
) -> None:
    """Send a file, and wait until the generator has it. Raises UpstreamRefused with the reason if it fails."""
    try:
        delivery = start(outbound, target, shipment)
    except TemporaryFailure as problem:
        raise errors.UpstreamRefused(f"{target.label} does not answer: {problem.message}") from None
    failures = 0
    while True:
        try:
            progress = poll(outbound, target, delivery)
        except TemporaryFailure as problem:
            failures += 1
            if failures > _FAILURES_MAX:
                raise errors.UpstreamRefused(f"{target.label} does not answer any more: {problem.message}") from None
        else:
            failures = 0
            on_progress(progress)
            if progress.state is State.DONE:
                return
            if progress.state is State.FAILED:
                raise errors.UpstreamRefused(f"{delivery.program} at {target.label} failed: {progress.reason}")
        sleep(1.0)
