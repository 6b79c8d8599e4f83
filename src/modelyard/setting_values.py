"""Parsers of settings: the text of the environment or the file → a value.

A parser raises ValueError whose message says what is accepted. This module does not know which settings there are.
"""

import ipaddress
import re
from collections.abc import Callable

_TARGET_URL = re.compile(
    r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?|https?://\[[0-9A-Fa-f:.]+\](:\d{1,5})?/?"
)
_TARGET_NAME_CHARS_MAX = 40
_GROUP_CHARS_MAX = 200
_SECRET_CHARS_MAX = 500
_TEAM = "[a-z0-9][a-z0-9_-]{0,62}"


def parse_integer(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of a whole number between two bounds."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"a whole number from {low} to {high}")

    return parse


def parse_word(*words: str) -> Callable[[str], str]:
    """Return the parser of one of some words, in any case."""

    def parse(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        raise ValueError(", ".join(words))

    return parse


def parse_text(text: str) -> str:
    """Accept text without control characters."""
    if text.isprintable():
        return text
    raise ValueError("text without control characters")


def parse_team(text: str) -> str:
    """Accept the name of a team."""
    if re.fullmatch(_TEAM, text):
        return text
    raise ValueError("the name of a team: up to 63 of a-z, 0-9, '-', '_', beginning with a-z or 0-9")


def parse_url(text: str) -> str:
    """Accept an absolute HTTP URL, or nothing; return it without a slash at its end."""
    if text == "" or (text.isprintable() and " " not in text and text.startswith(("http://", "https://"))):
        return text.rstrip("/")
    raise ValueError("a URL that starts with http:// or https://")


def parse_secret(text: str) -> str:
    """Accept printable ASCII without spaces, or nothing. The error does not show the value."""
    if text.isascii() and text.isprintable() and " " not in text and len(text) <= _SECRET_CHARS_MAX:
        return text
    raise ValueError(f"up to {_SECRET_CHARS_MAX} characters of ASCII without spaces")


def parse_header(text: str) -> str:
    """Accept the name of an HTTP header."""
    if re.fullmatch("[A-Za-z0-9-]{1,100}", text):
        return text
    raise ValueError("the name of an HTTP header, such as Remote-User")


def parse_team_rules(text: str) -> str:
    """Accept groups with the team and the scopes of each, and return them in one spelling."""
    rules = [item.strip().rsplit(None, 2) for item in text.split(",") if item.strip()]
    for rule in rules:
        if len(rule) != 3 or not rule[0].isprintable() or len(rule[0]) > _GROUP_CHARS_MAX:
            break
        if not re.fullmatch(_TEAM, rule[1]) or not set(rule[2].split("+")) <= {"read", "write", "admin", "download"}:
            break
    else:
        return ",".join(map(" ".join, rules))
    raise ValueError(
        "groups, each with a team and scopes, such as artists studio read+write, separated by commas; "
        "scopes: read, write, admin, download"
    )


def parse_targets(text: str) -> str:
    """Accept generators, and return them in one spelling."""
    targets = [item.strip().rsplit(None, 2) for item in text.split(",") if item.strip()]
    for target in targets:
        if not (len(target) == 3 and target[1] in ("comfyui", "invokeai") and _TARGET_URL.fullmatch(target[2])):
            break
        if len(target[0]) > _TARGET_NAME_CHARS_MAX or not target[0].isprintable():
            break
    else:
        if len({name for name, _, _ in targets}) == len(targets):
            return ",".join(f"{name} {kind} {url.rstrip('/')}" for name, kind, url in targets)
    raise ValueError(
        "generators such as studio comfyui http://comfy:8188, separated by commas; or invokeai for comfyui"
    )


def parse_networks(text: str) -> str:
    """Accept networks separated by commas, and return them without spaces."""
    try:
        for network in filter(None, text.replace(" ", "").split(",")):
            ipaddress.ip_network(network)
    except ValueError:
        raise ValueError("networks such as 10.1.0.0/16 or fd00::/8, separated by commas") from None
    return text.replace(" ", "")
