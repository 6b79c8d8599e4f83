"""A ``model.sig`` in a commit: kept, verified, shown, and, with ``require_signature``, needed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from modelyard.cli import run
from tests.app_fixture import App, open_app
from tests.signed_models import new_key, put_key, sign
from tests.transfers import ask, checking, find, lora_bytes, upload
from tests.web.hub.bench import Bench, deleted, text, weights

CONTENT, OTHER = lora_bytes(seed=1), lora_bytes(seed=2)


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return new_key()


@pytest.fixture
def keys(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path = tmp_path / "trusted.pem"
    put_key(path, key)
    return path


@pytest.fixture
def lenient(tmp_path: Path, keys: Path) -> Iterator[Bench]:
    with open_app(tmp_path, signature_keys=str(keys), anonymous_access="public") as yard:
        yield Bench(yard, checking(yard, tmp_path))


@pytest.fixture
def strict(tmp_path: Path, keys: Path) -> Iterator[Bench]:
    with open_app(tmp_path, signature_keys=str(keys), require_signature="yes") as yard:
        yield Bench(yard, checking(yard, tmp_path, requires_signature=True))


def model_id(bench: Bench, team: str = "red") -> int:
    (model,) = ask(bench.yard, "/v3/model?pagination.limit=2", team).json["models"]
    number: int = model["id"]
    return number


def signature_of(yard: App, id_: int, team: str = "red") -> tuple[str, str] | None:
    shown = ask(yard, f"/v3/model/details?id={id_}", team).json.get("signature")
    return (shown["verdict"], shown["key"]) if shown else None


def test_a_signature_is_kept_verified_and_shown(
    lenient: Bench,
    key: ec.EllipticCurvePrivateKey,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document, fingerprint = sign(key, {"a.safetensors": CONTENT}), put_key(keys, key)
    lenient.create(visibility="public")
    lenient.send(CONTENT)
    lenient.commit(weights("a.safetensors", CONTENT), text("model.sig", document))
    id_ = model_id(lenient)

    stored = lenient.ask("/red/night/resolve/main/model.sig", method="GET")
    page = lenient.yard.ask(f"/models/{id_}", None)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    monkeypatch.setenv("MODELYARD_SIGNATURE_KEYS", str(keys))
    assert 0 == run(["show", str(id_)])
    shown = capsys.readouterr().out
    assert 0 == run(["show", str(id_), "--json"])
    as_json = capsys.readouterr().out

    assert document == stored.body
    assert ("valid", fingerprint) == signature_of(lenient.yard, id_)
    assert f"Signature: valid, key {fingerprint[:16]}" in page.body.decode()
    assert f"valid, key {fingerprint[:16]}" in shown
    assert {"verdict": "valid", "reason": "", "key": fingerprint} == json.loads(as_json)["signature"]


def test_without_a_signature_or_a_key_answers_say_nothing(lenient: Bench, tmp_path: Path) -> None:
    lenient.create()
    lenient.send(CONTENT)
    lenient.commit(weights("a.safetensors", CONTENT))
    id_ = model_id(lenient)
    before = signature_of(lenient.yard, id_)
    lenient.commit(text("model.sig", b"anything"))

    with open_app(tmp_path) as yard:
        assert [None, None] == [before, signature_of(yard, id_)]
    assert ("malformed", "") == signature_of(lenient.yard, id_)


def test_a_signature_ends_with_the_files_that_it_was_made_for(lenient: Bench, key: ec.EllipticCurvePrivateKey) -> None:
    fingerprint_only = {"a.safetensors": CONTENT}
    lenient.create()
    lenient.send(CONTENT)
    lenient.commit(weights("a.safetensors", CONTENT), text("model.sig", sign(key, fingerprint_only)))
    lenient.send(OTHER)
    lenient.commit(weights("a.safetensors", OTHER))

    shown = signature_of(lenient.yard, model_id(lenient))

    assert shown is not None
    assert "mismatch" == shown[0]


def test_a_signature_does_not_make_a_model_available_whose_shards_are_missing(
    strict: Bench, key: ec.EllipticCurvePrivateKey
) -> None:
    files = {"a-1-of-2.safetensors": CONTENT, "a-2-of-2.safetensors": OTHER}
    first, second = [weights(path, content) for path, content in files.items()]
    strict.create()
    strict.send(CONTENT)
    strict.send(OTHER)
    answers = [strict.commit(first, text("model.sig", sign(key, files)))]
    before = find(strict.yard, model_id(strict))["status"]
    answers.append(strict.commit(second))

    assert [200, 200] == [answer.status for answer in answers]
    assert (0, 1) == (before, find(strict.yard, model_id(strict))["status"])


@pytest.mark.parametrize("wrong", ["none", "malformed", "unknown key", "another file", "unsigned configuration"])
def test_a_commit_without_a_valid_signature_is_refused(
    strict: Bench, key: ec.EllipticCurvePrivateKey, wrong: str
) -> None:
    signed = {"a.safetensors": CONTENT}
    lines = {
        "none": [],
        "malformed": [text("model.sig", b'{"a":' * 50_000)],
        "unknown key": [text("model.sig", sign(new_key(), signed))],
        "another file": [text("model.sig", sign(key, {"a.safetensors": OTHER}))],
        "unsigned configuration": [text("model.sig", sign(key, signed)), text("config.json", b"{}")],
    }
    strict.create()
    strict.send(CONTENT)

    refused = strict.commit(weights("a.safetensors", CONTENT), *lines[wrong])

    assert 415 == refused.status
    assert "require_signature" in refused.json["error"]
    assert [] == ask(strict.yard, "/v3/model").json["models"]
    strict.send(CONTENT)
    accepted = strict.commit(weights("a.safetensors", CONTENT), text("model.sig", sign(key, signed)))
    assert 200 == accepted.status, accepted.body
    assert 1 == find(strict.yard, model_id(strict))["status"]


def test_a_signed_model_stays_signed(strict: Bench, key: ec.EllipticCurvePrivateKey) -> None:
    strict.create()
    strict.send(CONTENT)
    strict.commit(weights("a.safetensors", CONTENT), text("model.sig", sign(key, {"a.safetensors": CONTENT})))
    strict.send(OTHER)

    statuses = [
        strict.commit(weights("a.safetensors", OTHER)).status,
        strict.commit(text("config.json", b"{}")).status,
        strict.commit(deleted("model.sig")).status,
        strict.commit(text("README.md", b"# Harbour\n\nAt night.\n")).status,
        strict.commit(weights("a.safetensors", OTHER), text("model.sig", sign(key, {".": OTHER}))).status,
    ]

    assert [415, 415, 415, 200, 200] == statuses
    assert 1 == find(strict.yard, model_id(strict))["status"]


def test_an_upload_waits_for_its_signature(strict: Bench, key: ec.EllipticCurvePrivateKey) -> None:
    id_ = upload(strict.yard, "night", CONTENT)["id"]
    document = text("model.sig", sign(key, {"night.safetensors": CONTENT}))
    strict.checking.verify_next()
    by_hand = ask(strict.yard, f"/v3/model?id={id_}", method="PATCH", body={"status": 1})
    waiting = find(strict.yard, id_)["status"], signature_of(strict.yard, id_)
    download = strict.ask(f"/red/{id_}/resolve/main/{find(strict.yard, id_)['sd_name']}", method="GET")
    wrong = strict.commit(text("model.sig", sign(key, {"night.safetensors": OTHER})), name=str(id_))
    by_others = strict.commit(document, name=str(id_), team="blue")

    signed = strict.commit(document, name=str(id_))

    assert (0, ("missing", "")) == waiting
    assert [415, 404, 415, 404] == [by_hand.status, download.status, wrong.status, by_others.status]
    assert 200 == signed.status, signed.body
    assert 1 == find(strict.yard, id_)["status"]


def test_a_key_that_is_not_trusted_any_more_is_seen(
    lenient: Bench, key: ec.EllipticCurvePrivateKey, keys: Path, tmp_path: Path
) -> None:
    lenient.create()
    lenient.send(CONTENT)
    lenient.commit(weights("a.safetensors", CONTENT), text("model.sig", sign(key, {".": CONTENT})))
    fingerprint = put_key(keys, key)
    put_key(keys, new_key())

    with open_app(tmp_path, signature_keys=str(keys)) as yard:
        assert ("unknown_key", fingerprint) == signature_of(yard, model_id(lenient))
