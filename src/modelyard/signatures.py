"""Verifies OpenSSF model signatures (``model.sig``) by trusted keys. No I/O but for the keys.

A signature is a sigstore bundle with a DSSE envelope, whose payload lists the SHA-256 of each file of the model. The
key says which algorithm is used; the document does not. Names in the document are compared, and never used as paths.
"""

import base64
import binascii
import hashlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from modelyard import errors

FILE_NAME = "model.sig"
BYTES_MAX = 1 << 20
_KEYS_BYTES_MAX = 1 << 20
_KEYS_MAX = 1000
_KEY_EXTENSIONS = (".pem", ".pub")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The hash that belongs to each curve, as sigstore has it.
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_T = TypeVar("_T")
_INSTALL = "signature_keys needs the extra `signatures`: pip install 'modelyard[signatures]'"


class SignatureVerdict(StrEnum):
    """What a signature proves."""

    VALID = "valid"
    UNKNOWN_KEY = "unknown_key"
    MISMATCH = "mismatch"
    MALFORMED = "malformed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """The result of a verification, its reason, and the fingerprint of the key that signed."""

    verdict: SignatureVerdict
    reason: str = ""
    key: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether a trusted key signed all files of the model."""
        return self.verdict is SignatureVerdict.VALID


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """The settings of signatures: trusted public keys by fingerprint, and whether models need a signature."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    is_required: bool = False


NO_POLICY = SignaturePolicy()


class _PublicKey(msgspec.Struct, frozen=True):
    hint: str = ""


class _Material(msgspec.Struct, frozen=True, rename="camel"):
    public_key: _PublicKey | None = None


class _Signature(msgspec.Struct, frozen=True):
    sig: str


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    verification_material: _Material
    dsse_envelope: _Envelope


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str]


class _Serialization(msgspec.Struct, frozen=True):
    method: str


class _Resource(msgspec.Struct, frozen=True):
    name: str
    algorithm: str
    digest: str


class _Predicate(msgspec.Struct, frozen=True):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    type: str
    subject: list[_Subject]
    predicate_type: str
    predicate: _Predicate


def format_signature(check: SignatureCheck | None) -> str:
    """Return one line for people about a signature."""
    if check is None:
        return ""
    key = f", key {check.key[:16]}" if check.key else ""
    return f"{check.verdict.replace('_', ' ')}{key}{': ' if check.reason else ''}{check.reason}"


def load_policy(path: str, *, is_required: bool) -> SignaturePolicy:
    """Return the policy with the keys of a PEM file, or of the PEM files of a folder. Raises ConfigurationError."""
    if not path:
        if is_required:
            raise errors.ConfigurationError("require_signature = yes needs signature_keys: a PEM file of public keys")
        return SignaturePolicy()
    try:
        place = Path(path).expanduser()
        files = sorted(one for one in place.iterdir() if one.suffix in _KEY_EXTENSIONS) if place.is_dir() else [place]
        keys: dict[str, Any] = {}
        for file in files[: _KEYS_MAX + 1]:
            keys |= _read_keys(file)
    except OSError as problem:
        raise errors.ConfigurationError(f"signature_keys: {path} cannot be read: {problem.strerror}") from None
    if not keys:
        raise errors.ConfigurationError(f"signature_keys: {path} has no public key; accepted: .pem and .pub files")
    if len(keys) > _KEYS_MAX:
        raise errors.ConfigurationError(f"signature_keys: {path} has over {_KEYS_MAX:,} keys")
    return SignaturePolicy(keys, is_required)


def _read_keys(file: Path) -> dict[str, Any]:
    if file.stat().st_size > _KEYS_BYTES_MAX:
        raise errors.ConfigurationError(f"signature_keys: {file} is larger than {_KEYS_BYTES_MAX:,} bytes")
    blocks = _PEM.findall(file.read_bytes())
    if not blocks:
        raise errors.ConfigurationError(f"signature_keys: {file} has no `BEGIN PUBLIC KEY`")
    return dict(_read_key(file, block) for block in blocks)


def _read_key(file: Path, block: bytes) -> tuple[str, Any]:
    serialization = _import("cryptography.hazmat.primitives.serialization")
    try:
        key = serialization.load_pem_public_key(block)
    except Exception as problem:
        raise errors.ConfigurationError(f"signature_keys: {file} has a key that cannot be read: {problem}") from None
    curve = getattr(getattr(key, "curve", None), "name", "")
    if curve not in _HASHES:
        raise errors.ConfigurationError(
            f"signature_keys: {file} has another kind of key; accepted: P-256, P-384, P-521"
        )
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest(), key


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise errors.ConfigurationError(_INSTALL) from None


def verify(document: bytes, keys: Mapping[str, Any], files: Mapping[str, str]) -> SignatureCheck:
    """Verify a signature of a model whose files have these SHA-256, in lower case, by path. Raises nothing.

    Each file must be signed. Signed files that the model does not have are accepted, and so are other names.
    """
    try:
        bundle = _decode(document, _Bundle)
        key, payload = _open_envelope(bundle, keys)
        digests = _read_digests(_decode(payload, _Statement))
    except _Refusal as refusal:
        return refusal.check
    signed = set(digests.values())
    for path, sha256 in files.items():
        if sha256 not in signed or digests.get(path, sha256) != sha256:
            return SignatureCheck(SignatureVerdict.MISMATCH, f"the signature is not of the file {path[:200]}", key)
    if not files:
        return SignatureCheck(SignatureVerdict.MISMATCH, "the model has no file", key)
    return SignatureCheck(SignatureVerdict.VALID, key=key)


class _Refusal(Exception):
    def __init__(self, reason: str, verdict: SignatureVerdict = SignatureVerdict.MALFORMED, key: str = "") -> None:
        super().__init__(reason)
        self.check = SignatureCheck(verdict, reason, key)


def _decode(text: bytes, kind: type[_T]) -> _T:
    if len(text) > BYTES_MAX:
        raise _Refusal(f"the signature is larger than {BYTES_MAX:,} bytes")
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise _Refusal(f"the signature cannot be used: {str(problem)[:200]}") from None
    except RecursionError:
        raise _Refusal("the signature cannot be used: it is nested too deeply") from None


def _open_envelope(bundle: _Bundle, keys: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the fingerprint of the trusted key that signed the envelope, and its payload."""
    envelope = bundle.dsse_envelope
    if envelope.payload_type != _PAYLOAD_TYPE:
        raise _Refusal(f"payloadType: accepted: {_PAYLOAD_TYPE}")
    if len(envelope.signatures) != 1:
        raise _Refusal(f"the envelope has {len(envelope.signatures)} signatures; accepted: one")
    if bundle.verification_material.public_key is None:
        raise _Refusal("verificationMaterial: accepted: publicKey, a signature by a key")
    payload, signature = _decode_base64(envelope.payload), _decode_base64(envelope.signatures[0].sig)
    message = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    hint = bundle.verification_material.public_key.hint.lower()
    if hint and hint not in keys:
        named = hint if _SHA256.fullmatch(hint) else ""
        raise _Refusal("no trusted key signed it", SignatureVerdict.UNKNOWN_KEY, named)
    for fingerprint in [hint] if hint else keys:
        if _is_signed(keys[fingerprint], signature, message):
            return fingerprint, payload
    if hint:
        raise _Refusal("the envelope was changed, or another key signed it", SignatureVerdict.MISMATCH, hint)
    raise _Refusal("no trusted key signed it", SignatureVerdict.UNKNOWN_KEY)


def _is_signed(key: Any, signature: bytes, message: bytes) -> bool:
    algorithm = getattr(_import("cryptography.hazmat.primitives.hashes"), _HASHES[key.curve.name])()
    ecdsa = _import("cryptography.hazmat.primitives.asymmetric.ec").ECDSA
    try:
        key.verify(signature, message, ecdsa(algorithm))
    except _import("cryptography.exceptions").InvalidSignature:
        return False
    return True


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Refusal("the envelope is not in base64") from None


def _read_digests(statement: _Statement) -> dict[str, str]:
    """Return the SHA-256 of the signed files by name."""
    if (statement.type, statement.predicate_type) != (_STATEMENT_TYPE, _PREDICATE_TYPE):
        raise _Refusal(f"accepted: a statement {_STATEMENT_TYPE} with the predicate {_PREDICATE_TYPE}")
    predicate = statement.predicate
    if predicate.serialization.method != "files":
        raise _Refusal("serialization: accepted: the method files")
    for resource in predicate.resources:
        if resource.algorithm != "sha256" or not _SHA256.fullmatch(resource.digest):
            raise _Refusal("resources: accepted: digests by sha256")
    digests = {resource.name: resource.digest for resource in predicate.resources}
    if len(digests) != len(predicate.resources):
        raise _Refusal("resources: a name is there twice")
    root = hashlib.sha256(b"".join(bytes.fromhex(resource.digest) for resource in predicate.resources)).hexdigest()
    if [subject.digest.get("sha256") for subject in statement.subject] != [root]:
        raise _Refusal("subject: its digest is not that of the resources")
    return digests
