"""Model signatures: what a signature proves of the files of a model, and which keys are trusted."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from modelyard import errors
from modelyard.settings import Settings
from modelyard.signatures import SignaturePolicy, load_policy, verify
from modelyard.web.app import check_settings

from . import environments
from .signed_models import new_key, put_key, seal, sign, statement_of

SIGN = """
import sys, model_signing
key, *pairs = sys.argv[1:]
for model, signature in zip(pairs[::2], pairs[1::2]):
    model_signing.signing.Config().use_elliptic_key_signer(private_key=key).sign(model, signature)
"""
FILES = {"config.json": b"{}", "unet/w.safetensors": b"weights"}


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def policy_of(tmp_path: Path, *keys: ec.EllipticCurvePrivateKey) -> SignaturePolicy:
    for number, key in enumerate(keys):
        put_key(tmp_path / f"{number}.pem", key)
    return load_policy(str(tmp_path), is_required=True)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: str(curve.name))
@pytest.mark.parametrize("hint", [None, ""])
def test_a_trusted_key_signs_a_model(tmp_path: Path, curve: ec.EllipticCurve, hint: str | None) -> None:
    key = new_key(curve)
    policy = policy_of(tmp_path, new_key(), key)

    check = verify(sign(key, FILES, hint=hint), policy.keys, digests(FILES))

    assert ("valid", "", put_key(tmp_path / "own.pem", key)) == (check.verdict, check.reason, check.key)


def test_the_tool_of_openssf_signs_a_model(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    packages = ("model-signing==1.1.1", "pyopenssl")
    python = environments.installed(request.config, "model-signing", packages) / "python"
    key, private, model = new_key(), tmp_path / "private", tmp_path / "model"
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(*pem))
    for path, content in FILES.items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)
    policy = policy_of(tmp_path, key)

    of_model, of_file = tmp_path / "model.sig", tmp_path / "file.sig"

    arguments = (private, model, of_model, model / "unet/w.safetensors", of_file)
    subprocess.run([python, "-c", SIGN, *arguments], check=True, capture_output=True, timeout=300)
    whole = verify(of_model.read_bytes(), policy.keys, digests(FILES))
    one = verify(of_file.read_bytes(), policy.keys, digests({"renamed.safetensors": b"weights"}))
    changed = verify(of_model.read_bytes(), policy.keys, digests({**FILES, "config.json": b"{ }"}))

    assert ["valid", "valid", "mismatch"] == [whole.verdict, one.verdict, changed.verdict]


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "unet/w.safetensors": b"other"},
        {**FILES, "more.json": b"not signed"},
        {"config.json": b"weights", "unet/w.safetensors": b"{}"},
        {},
    ],
    ids=["changed", "not signed", "exchanged", "none"],
)
def test_files_that_are_not_signed_are_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    key = new_key()

    check = verify(sign(key, FILES), policy_of(tmp_path, key).keys, digests(files))

    assert "mismatch" == check.verdict
    assert next((path for path in files if files[path] != FILES.get(path)), "no file") in check.reason


def test_a_model_may_have_a_part_of_the_signed_files(tmp_path: Path) -> None:
    key = new_key()

    check = verify(sign(key, FILES), policy_of(tmp_path, key).keys, digests({"other name": b"weights"}))

    assert "valid" == check.verdict


def changed_payload(key: ec.EllipticCurvePrivateKey) -> bytes:
    bundle: dict[str, Any] = json.loads(sign(key, {"a": b"other"}))
    payload = base64.b64encode(json.dumps(statement_of(FILES)).encode()).decode()
    bundle["dsseEnvelope"]["payload"] = payload
    return json.dumps(bundle).encode()


def test_a_changed_envelope_and_other_keys_prove_nothing(tmp_path: Path) -> None:
    key, other = new_key(), new_key()
    fingerprint = put_key(tmp_path / "trusted.pem", key)
    policy = load_policy(str(tmp_path / "trusted.pem"), is_required=False)

    def verdict_of(document: bytes) -> str:
        return verify(document, policy.keys, digests(FILES)).verdict

    assert "mismatch" == verdict_of(changed_payload(key))
    assert "unknown_key" == verdict_of(sign(other, FILES))
    assert "unknown_key" == verdict_of(sign(other, FILES, hint=""))
    assert "mismatch" == verdict_of(sign(other, FILES, hint=fingerprint))
    assert "mismatch" == verdict_of(sign(key, FILES, algorithm=hashes.SHA512()))
    assert "unknown_key" == verify(sign(key, FILES), {}, digests(FILES)).verdict


def malformed(key: ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    def stated(**changes: Any) -> bytes:
        return seal(key, json.dumps(statement_of(FILES, **changes)).encode())

    predicate = statement_of(FILES)["predicate"]
    resources = predicate["resources"]
    shards = {**predicate, "serialization": {"method": "shards"}}
    by_other = {**predicate, "resources": [{**resource, "algorithm": "blake3"} for resource in resources]}
    deep = b'{"a":' * 100_000
    return {
        "empty": b"",
        "text": b"signed, really",
        "not UTF-8": b'{"dsseEnvelope":"\xff"}',
        "another document": b"[1]",
        "deep": deep,
        "large": b" " * (1 << 20) + sign(key, FILES),
        "deep payload": seal(key, deep),
        "payload of text": seal(key, b"text"),
        "another type": sign(key, FILES, payloadType="text/plain"),
        "no signature": sign(key, FILES, signatures=[]),
        "two signatures": sign(key, FILES, signatures=[{"sig": "AA=="}, {"sig": "AA=="}]),
        "not in base64": sign(key, FILES, payload="%%"),
        "a certificate": sign(key, FILES).replace(b'"publicKey"', b'"certificate"'),
        "another statement": stated(_type="https://in-toto.io/Statement/v0.1"),
        "another predicate": stated(predicateType="https://slsa.dev/provenance/v1"),
        "another subject": stated(subject=[{"digest": {"sha256": "0" * 64}}]),
        "no subject": stated(subject=[]),
        "shards": stated(predicate=shards),
        "another hash": stated(predicate=by_other),
        "names twice": stated(predicate={**predicate, "resources": [*resources, *resources]}),
    }


def test_what_is_no_model_signature_is_malformed(tmp_path: Path) -> None:
    key = new_key()
    keys = policy_of(tmp_path, key).keys

    checks = {name: verify(document, keys, digests(FILES)) for name, document in malformed(key).items()}

    assert dict.fromkeys(checks, "malformed") == {name: check.verdict for name, check in checks.items()}
    assert all(check.reason for check in checks.values())


def test_keys_are_read_from_a_folder_or_a_file_with_several(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    fingerprints = {put_key(folder / name, new_key()) for name in ("a.pem", "b.pub")}
    (folder / "notes.txt").write_text("not a key")
    together = tmp_path / "together"
    together.write_bytes((folder / "a.pem").read_bytes() + (folder / "b.pub").read_bytes())

    assert fingerprints == set(load_policy(str(folder), is_required=False).keys)
    assert fingerprints == set(load_policy(str(together), is_required=False).keys)


def test_keys_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    contents = {
        "other": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*pem),
        "curve": ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(*pem),
        "broken": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "text": b"a key",
        "large": b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 1_100_000,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    messages = {}
    for name in (*contents, "empty", "missing"):
        with pytest.raises(errors.ConfigurationError) as refusal:
            load_policy(str(tmp_path / name), is_required=False)
        messages[name] = refusal.value.message

    assert all(str(tmp_path / name) in message for name, message in messages.items())
    assert "accepted: P-256, P-384, P-521" in messages["other"]
    assert "accepted: P-256, P-384, P-521" in messages["curve"]
    assert "is larger than" in messages["large"]


def test_settings_that_do_not_fit_are_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="needs signature_keys"):
        check_settings(Settings(home=tmp_path, require_signature="yes"))
    with pytest.raises(errors.ConfigurationError, match="cannot be read: No such file"):
        check_settings(Settings(home=tmp_path, signature_keys=str(tmp_path / "keys")))
