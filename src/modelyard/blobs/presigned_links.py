"""Adds parameters of the response to a presigned address of an S3-compatible store.

The store answers a GET with ``response-content-disposition`` by that header, if the parameter is signed. obstore signs
no parameters (0.12), so the address that it made is signed again with the secret key, by AWS Signature Version 4:

    canonical request    GET, path, parameters in order, host, UNSIGNED-PAYLOAD
    text to sign         algorithm, date, scope of the credential, SHA-256 of the canonical request
    key                  HMACs of date, region, service and "aws4_request", beginning with the secret key
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlsplit

_SIGNATURE = "X-Amz-Signature"


def add_parameters(signed: str, secret_key: str, parameters: dict[str, str]) -> str:
    """Return the address with more parameters. It stays as it is if the secret key is not the one that signed it."""
    address = urlsplit(signed)
    values = dict(parse_qsl(address.query, keep_blank_values=True))
    signature = values.pop(_SIGNATURE, "")
    place = address.netloc, address.path
    if not (secret_key and hmac.compare_digest(_sign(*place, values, secret_key), signature)):
        return signed
    values |= parameters
    query = f"{_format_query(values)}&{_SIGNATURE}={_sign(*place, values, secret_key)}"
    return address._replace(query=query).geturl()


def _sign(host: str, path: str, values: dict[str, str], secret_key: str) -> str:
    date, *scope = values.get("X-Amz-Credential", "").split("/")[1:] or [""]
    request = "\n".join(("GET", path, _format_query(values), f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", values.get("X-Amz-Date", ""), "/".join((date, *scope)), digest))
    key = f"AWS4{secret_key}".encode()
    for part in (date, *scope):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _format_query(values: dict[str, str]) -> str:
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in values.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
