"""What licences of models say: the words of their sources, and one line for people.

Civitai gives four permissions. Until November 2023 its commercial use was one word, a level that includes the lower
ones; since then it is a list of independent uses.
"""

import re
from collections.abc import Iterable
from typing import Any

from modelyard.domain import COMMERCIAL_USES, Licence

_LEVELS = {use: COMMERCIAL_USES[: number + 1] for number, use in enumerate(COMMERCIAL_USES)}
_COMMERCIAL = "commercial use: "
# The field of a licence, and what the line says if it is true and if it is false.
_TERMS = (
    ("allow_no_credit", "credit not required", "credit required"),
    ("allow_derivatives", "derivatives allowed", "no derivatives"),
    ("allow_different_licence", "other permissions allowed", "same permissions required"),
)
_TERM_VALUES = {text: (field, text == yes) for field, yes, no in _TERMS for text in (yes, no)}
_NOT_IN_IDS = re.compile(r"[^a-z0-9.+]+")
_NAME_CHARS_MAX = 1_000
_ID_CHARS_MAX = 64


def read_commercial_use(value: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the uses of Civitai's ``allowCommercialUse``: a level, a list, or a set as PostgreSQL writes it.

    None if there is no value. Uses that are not ours, such as on Civitai only, are not counted.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if not value.startswith("{"):
            return _LEVELS.get(value.strip().casefold(), ())
        value = value.strip("{}").split(",")
    uses = {use.strip().casefold() for use in value}
    return tuple(use for use in COMMERCIAL_USES if use in uses)


def parse_licence(text: str) -> Licence:
    """Return a licence by its name, its address, or the line that ``format_permissions`` writes."""
    permissions: dict[str, Any] = {}
    for term in text.split("; "):
        if term.startswith(_COMMERCIAL):
            words = term.removeprefix(_COMMERCIAL).split(", ")
            permissions["allow_commercial"] = read_commercial_use(words[0] if len(words) == 1 else words)
        elif term in _TERM_VALUES:
            field, value = _TERM_VALUES[term]
            permissions[field] = value
        else:
            return _parse_name(text)
    return Licence(**permissions)


def _parse_name(text: str) -> Licence:
    name = text.strip()[:_NAME_CHARS_MAX]
    if name.startswith(("https://", "http://")) and " " not in name:
        return Licence(url=name)
    id_ = _NOT_IN_IDS.sub("-", name.casefold()).strip("-")
    return Licence(id=id_ if 0 < len(id_) <= _ID_CHARS_MAX else None, name=name or None)


def format_permissions(licence: Licence) -> str:
    """Return the permissions that are known as one line; empty if none is."""
    terms = []
    if licence.allow_commercial is not None:
        terms.append(_COMMERCIAL + (", ".join(licence.allow_commercial) or "no"))
    for field, yes, no in _TERMS:
        value = getattr(licence, field)
        if value is not None:
            terms.append(yes if value else no)
    return "; ".join(terms)


# What people ask of a licence: the text of a use, and the field and the value that allow it.
_USES = (
    ("Sell images that you make with it", "allow_commercial", "image"),
    ("Offer it in a paid service", "allow_commercial", "rent"),
    ("Sell the model or a merge of it", "allow_commercial", "sell"),
    ("Use it without credit to the creator", "allow_no_credit", None),
    ("Share merges and other derivatives", "allow_derivatives", None),
    ("Share these under other permissions", "allow_different_licence", None),
)


def list_uses(licence: Licence) -> list[tuple[str, bool | None]]:
    """Return each use that people ask for, and whether the licence allows it; None: it does not say.

    Empty if it says nothing of any use.
    """
    uses = []
    for text, field, word in _USES:
        value = getattr(licence, field)
        uses.append((text, value if word is None or value is None else word in value))
    return uses if any(answer is not None for _, answer in uses) else []


def format_licence(licence: Licence) -> str:
    """Return a licence as one line for people."""
    return "; ".join(filter(None, (licence.name or licence.id, licence.url, format_permissions(licence))))
