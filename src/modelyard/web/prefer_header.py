"""The request header ``Prefer`` (RFC 7240): the two preferences that are honoured."""

import re
from dataclasses import dataclass
from functools import lru_cache

_PREFERENCE = re.compile(r'\s*([A-Za-z-]+)\s*=\s*("?)([A-Za-z-]+)\2\s*(?:;.*)?')


@dataclass(frozen=True, slots=True)
class Preferences:
    """``strict``: an unknown parameter is an error. ``exact_count``: tell how many match in all."""

    strict: bool = False
    exact_count: bool = False


NOTHING = Preferences()


@lru_cache(maxsize=64)
def read_preferences(prefer: bytes) -> Preferences:
    """Read a ``Prefer`` header. What is not known is not honoured, and no error: so the RFC says."""
    given: dict[str, str] = {}
    for part in prefer[:1024].decode("latin-1").split(","):
        if found := _PREFERENCE.fullmatch(part):
            given.setdefault(found[1].lower(), found[3].lower())
    return Preferences(strict=given.get("handling") == "strict", exact_count=given.get("count") == "exact")


def applied(preferences: Preferences) -> bytes:
    """Return what ``Preference-Applied`` says; empty if nothing was preferred."""
    names = []
    if preferences.strict:
        names.append(b"handling=strict")
    if preferences.exact_count:
        names.append(b"count=exact")
    return b", ".join(names)
