"""Model signatures, made as the tools of OpenSSF make them."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TYPE = "application/vnd.in-toto+json"
_HASHES: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}


def new_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def put_key(path: Path, key: ec.EllipticCurvePrivateKey) -> str:
    """Write the public key, and return its fingerprint."""
    path.write_bytes(pem_of(key))
    return hashlib.sha256(pem_of(key)).hexdigest()


def statement_of(files: Mapping[str, bytes], **changes: Any) -> dict[str, Any]:
    digests = [hashlib.sha256(content) for content in files.values()]
    root = hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": digest.hexdigest()}
                for name, digest in zip(files, digests, strict=True)
            ],
        },
        **changes,
    }


def seal(
    key: ec.EllipticCurvePrivateKey,
    payload: bytes,
    /,
    *,
    algorithm: hashes.HashAlgorithm | None = None,
    hint: str | None = None,
    **changes: Any,
) -> bytes:
    """Return the bundle of a payload."""
    message = b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)
    signature = key.sign(message, ec.ECDSA(algorithm or _HASHES[key.curve.key_size]))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        **changes,
    }
    named = hashlib.sha256(pem_of(key)).hexdigest() if hint is None else hint
    material = {"publicKey": {"hint": named}, "tlogEntries": []}
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    bundle = {"mediaType": kind, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(bundle).encode()


def sign(key: ec.EllipticCurvePrivateKey, files: Mapping[str, bytes], **changes: Any) -> bytes:
    """Return the model.sig of a model."""
    return seal(key, json.dumps(statement_of(files)).encode(), **changes)
