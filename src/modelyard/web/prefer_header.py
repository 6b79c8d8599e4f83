"""The request header ``Prefer`` (RFC 7240): the three preferences that the server applies."""

import re
from dataclasses import dataclass
from functools import lru_cache

_PREFERENCE = re.compile(r'\s*([A-Za-z-]+)\s*=\s*("?)([A-Za-z0-9-]+)\2\s*(?:;.*)?')


@dataclass(frozen=True, slots=True)
class Preferences:
    """``strict``: an unknown parameter is an error. ``exact_count``: return the total number of matches.

    ``wait_seconds``: wait so long for a change. Only the change feed applies it, and says so itself.
    """

    strict: bool = False
    exact_count: bool = False
    wait_seconds: int = 0


NOTHING = Preferences()


@lru_cache(maxsize=64)
def read_preferences(prefer: bytes) -> Preferences:
    """Read a ``Prefer`` header. Unknown preferences are ignored, as the RFC says."""
    values: dict[str, str] = {}
    for part in prefer[:1024].decode("latin-1").split(","):
        if match := _PREFERENCE.fullmatch(part):
            values.setdefault(match[1].lower(), match[3].lower())
    wait = values.get("wait", "")
    return Preferences(
        strict=values.get("handling") == "strict",
        exact_count=values.get("count") == "exact",
        wait_seconds=int(wait) if wait.isdigit() and len(wait) <= 6 else 0,
    )


def applied_header(preferences: Preferences, *, is_exact: bool = True) -> bytes:
    """Return the value of ``Preference-Applied``; empty if the request has no known preference.

    ``is_exact`` is False if the count is an estimate, because the exact one takes too much work.
    """
    names = []
    if preferences.strict:
        names.append(b"handling=strict")
    if preferences.exact_count:
        names.append(b"count=exact" if is_exact else b"count=estimated")
    return b", ".join(names)
