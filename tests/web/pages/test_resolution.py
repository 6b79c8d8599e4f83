"""The page that says which models a picture or a workflow needs, and which of them are here.

Not covered here: how a need is matched (tests/web/api/test_resolve_workflow.py), dropping a file (tests/browser).
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import MODEL_TYPES, Hashes, Scope
from tests.app_fixture import App, Reply, a_model, a_private, open_app

from .page_text import main_text
from .test_pages import Browser, signed_in

PUBLIC, LISTED, OFFERED, OWN = 7, 8, 9, 1_000_000_001
LORA, BLOB = MODEL_TYPES["lora"], 64 * "a"
FORM = "multipart/form-data; boundary=x"
RESULT = """
[All models](/)
# Models of a picture or a workflow
This file needs 4 models. 1 of them is here, the server can get 1.
## Download all that are here
modelyard pull --url https://models.example 7<Copy modelyard pull --url https://models.example 7>
## Here (1)
[Glow](/models/7) v7 · LoRA · 228.6 MB
style/Glow_v1.safetensors in loras, found by the name of its file
## Can be fetched (1)
[Sign in](/sign-in?to=%2Fresolve) with a key that may upload, so that the server can fetch them for your team.
The server can get these files from where the file or the catalogue says they are.
vae-nowhere.pt in vae
The file names this address: [https://hub.example/vae-nowhere.pt](https://hub.example/vae-nowhere.pt)
## Perhaps (1)
Only words of the names match. Compare the models before you use them.
[Mountain mist](/models/9) v9 · LoRA
mist-mountain.safetensors in loras, found by words of its name
## Missing (1)
<b>.pt
## Unknown loaders (1)
These nodes name a file. This server does not know which folder they read, so it may have missed a model.
SomeLoader
"""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    """Three public models, one of them with a file, and a private one with a file."""
    with open_app(tmp_path, anonymous_access="public", public_url="https://models.example") as app:
        glow = a_model(
            PUBLIC, file_names=("glow_v1.safetensors",), type=LORA, title="Glow", size_bytes=228_600_000, blob=BLOB
        )
        mist = a_model(OFFERED, sd_name="mountain_mist_9.safetensors", type=LORA, title="Mountain mist")
        own = a_private(OWN, "red", name="own", sd_name="own.pt", blob=BLOB)
        app.put(glow, mist, own, a_model(LISTED, hashes=Hashes(sha256=64 * "B"), file_names=("glow_v1.safetensors",)))
        yield app


def form_of(file: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file + b"\r\n--x--\r\n"


def send(sender: App | Browser, document: object) -> Reply:
    body = form_of(document if isinstance(document, bytes) else json.dumps(document).encode())
    if isinstance(sender, App):
        return sender.ask("/resolve", None, method="POST", body=body, content_type=FORM)
    return sender.ask("/resolve", method="POST", body=body, content_type=FORM)


def test_the_page_sorts_what_a_workflow_needs_by_what_is_here(yard: App) -> None:
    graph = {
        "nodes": [
            {"id": 1, "type": "LoraLoader", "widgets_values": ["style/Glow_v1.safetensors", 1, 1]},
            {"id": 2, "type": "LoraLoader", "widgets_values": ["mist-mountain.safetensors", 1, 1]},
            {
                "id": 3,
                "type": "VAELoader",
                "widgets_values": ["vae-nowhere.pt"],
                "properties": {"models": [{"name": "vae-nowhere.pt", "url": "https://hub.example/vae-nowhere.pt"}]},
            },
            {"id": 4, "type": "SomeLoader", "widgets_values": ["<b>.pt"]},
        ]
    }

    reply = send(yard, graph)

    assert 200 == reply.status
    assert RESULT.strip() == main_text(reply.body).partition("\nform post")[0]


def test_a_model_without_a_file_is_listed_and_not_pulled(yard: App) -> None:
    page = main_text(send(yard, {"models": [{"name": "x.safetensors", "hash": 64 * "B"}]}).body)

    assert "Can be fetched (1)" in page
    assert "x.safetensors, found by its SHA-256" in page
    assert "modelyard pull" not in page


def test_each_model_is_pulled_once_and_the_one_with_a_file_comes_first(yard: App) -> None:
    names = ("glow_v1.safetensors", "other/glow_v1_1234.safetensors")
    page = main_text(send(yard, {"models": [{"name": name} for name in names]}).body)

    assert "Here (2)" in page
    assert f"modelyard pull --url https://models.example {PUBLIC}<" in page


def test_a_team_sees_its_own_models_and_a_stranger_does_not(yard: App) -> None:
    needs = {"models": [{"name": "own.pt"}]}

    assert f"(/models/{OWN})" in main_text(send(signed_in(yard), needs).body)
    assert f"(/models/{OWN})" not in main_text(send(signed_in(yard, "blue"), needs).body)
    assert "Missing (1)" in main_text(send(yard, needs).body)


@pytest.mark.parametrize(
    ("file", "status", "message"),
    [
        (b"hello", 415, "this is no workflow"),
        (b"\x89PNG\r\n\x1a\n", 415, "no workflow and no parameters"),
        (b"", 400, "Choose a file first."),
    ],
)
def test_a_file_that_is_refused_leaves_the_form_on_the_page(yard: App, file: bytes, status: int, message: str) -> None:
    reply = send(yard, file)

    assert status == reply.status
    assert message in main_text(reply.body)
    assert "<Show the models>" in main_text(reply.body)


def test_a_form_without_a_file_is_refused_before_its_body_is_read(yard: App) -> None:
    reply = yard.ask("/resolve", None, method="POST", body=b"file=a", content_length=str(2**40))

    assert 400 == reply.status
    assert "the form has no file" in main_text(reply.body)


def test_a_file_over_32_mib_is_refused_before_it_is_read(yard: App) -> None:
    length = str(32 * 2**20 + 70_000)
    reply = yard.ask("/resolve", None, method="POST", body=b"--x", content_type=FORM, content_length=length)

    assert 413 == reply.status
    assert "the file is larger than the 33,554,432 bytes accepted" in main_text(reply.body)


def test_a_form_of_another_site_is_refused(yard: App) -> None:
    reply = yard.ask("/resolve", None, method="POST", content_type=FORM, sec_fetch_site="cross-site")

    assert 403 == reply.status


def test_visitors_who_may_not_read_are_refused(tmp_path: Path) -> None:
    with open_app(tmp_path) as closed:
        writer = signed_in(closed, "red", Scope.WRITE)

        assert (303, "/sign-in") == (send(closed, b"{").status, send(closed, b"{").headers["location"])
        assert (303, "/sign-in?to=%2Fresolve") == (
            closed.ask("/resolve", None).status,
            closed.ask("/resolve", None).headers["location"],
        )
        assert [403, 403] == [writer.ask("/resolve").status, send(writer, b"{").status]


def test_the_gallery_links_to_the_page(yard: App) -> None:
    assert "(/resolve)" in main_text(yard.ask("/", None).body)
    assert "<Show the models>" in main_text(yard.ask("/resolve", None).body)
