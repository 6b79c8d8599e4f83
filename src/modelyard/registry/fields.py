"""The fields that people declare of their models, checked and made facts of the user's layer.

Names and values are those of a JSON body or of an upload's metadata. An error names the field and its accepted values.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard import errors
from modelyard.domain import CATEGORIES, COVERS, FILE_EXTENSIONS, Source, Visibility, model_type
from modelyard.facts import Facts
from modelyard.registry.names import api_name, split_label

NAME = re.compile(r"[A-Za-z0-9_.\- ]{1,100}")
_NAME_ALLOWED = "1 to 100 of A-Z a-z 0-9 _ . - and spaces, or a title in another script"
_WORD_CHARS_MAX = 100
_TAGS_MAX = 100
_TITLE_CHARS_MAX = 200
_DESCRIPTION_CHARS_MAX = 20_000
_TRIGGER_WORDS_MAX, _TRIGGER_WORD_CHARS_MAX = 100, 500
_FILE_NAME_CHARS_MAX = 1024
_COVER_CHARS_MAX = 2048
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false", "")
_COVER_PATH = re.compile(re.escape(COVERS) + r"[0-9a-f]{32}/[0-9]{1,5}\.webp")


@dataclass(frozen=True, slots=True)
class UploadMetadata:
    """What an uploader declares: facts of the user's layer, source and visibility. ``extension`` has no dot.

    ``title`` is the file's own name in any script; None where the model's name says the same.
    """

    facts: Facts
    source: Source
    visibility: Visibility
    extension: str
    title: str | None = None


def parse_upload_metadata(fields: Mapping[str, str]) -> UploadMetadata:
    """Parse an upload's metadata. Missing fields become None or empty. Raises InvalidValue or UnsupportedFile."""
    file_name = _label(fields.get("filename", ""))
    label_name, label_extension, title = split_label(file_name)
    extension = (fields.get("file_extension") or label_extension).lower().lstrip(".")
    if extension and extension not in FILE_EXTENSIONS:
        raise errors.UnsupportedFile(
            f"file_extension: {extension[:32]!r} is not accepted; accepted: {', '.join(FILE_EXTENSIONS)}",
            field="file_extension",
            given=extension[:32],
            allowed=list(FILE_EXTENSIONS),
        )
    name, name_title = read_name(fields["name"]) if fields.get("name") else (label_name, None)
    facts = Facts(
        name=name,
        title=checked_title("title", fields["title"]) if fields.get("title") else name_title,
        description=checked_description(fields["description"]) if fields.get("description") else None,
        trigger_words=_split_trigger_words(fields["trigger_words"]) if fields.get("trigger_words") else None,
        type=model_type(_word("type_name", fields["type_name"])) if fields.get("type_name") else None,
        base_model=_word("base_model", fields["base_model"]) if fields.get("base_model") else None,
        base_model_type=_word("base_model_type", fields["base_model_type"]) if fields.get("base_model_type") else None,
        tags=read_tags(fields["tags"].split(",")) if fields.get("tags") else None,
        is_nsfw=_boolean("is_nsfw", fields["is_nsfw"]) if fields.get("is_nsfw") else None,
        categories=read_category(fields["category_id"]) if fields.get("category_id") else None,
        cover_url=checked_cover(fields["cover_url"]) if fields.get("cover_url") else None,
        file_name=file_name or None,
    )
    source, visibility = _source(fields.get("source", "")), read_visibility(fields.get("visibility", ""))
    return UploadMetadata(facts, source, visibility, extension, None if fields.get("name") else title)


def _split_trigger_words(text: str) -> tuple[str, ...]:
    """Return the words of a text: one on each line, or in one line separated by commas."""
    return read_trigger_words(text.split("\n" if "\n" in text else ","))


def read_name(text: str) -> tuple[str, str | None]:
    """Return a model's name for calls, and its title if the text is not ASCII. Raises InvalidValue.

    The name is empty if the text has no letter that ASCII can show.
    """
    if NAME.fullmatch(text) and text.strip():
        return text, None
    if text.isascii():
        raise refused("name", text, _NAME_ALLOWED)
    title = checked_title("name", text)
    return api_name(title), title


def checked_title(field: str, text: str) -> str:
    """Return a line of text in any script without surrounding spaces, or raise InvalidValue."""
    if not text.isprintable() or len(text) > _TITLE_CHARS_MAX:
        raise refused(field, text, f"up to {_TITLE_CHARS_MAX} characters in one line")
    return text.strip()


def checked_description(text: str) -> str:
    """Return a text of several lines, or raise InvalidValue. It is plain text: markup in it has no effect."""
    text = text.replace("\r\n", "\n")
    is_plain = all(char.isprintable() or char in "\n\t\u3000\xa0" for char in text)
    if not is_plain or len(text) > _DESCRIPTION_CHARS_MAX:
        allowed = f"up to {_DESCRIPTION_CHARS_MAX:,} characters without control characters but line feeds and tabs"
        raise refused("description", text, allowed)
    return text.strip()


def read_trigger_words(words: list[str]) -> tuple[str, ...]:
    """Return trigger words without surrounding spaces and without repetitions. A word may be a whole phrase."""
    unique = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for word in unique:
        if not word.isprintable() or len(word) > _TRIGGER_WORD_CHARS_MAX:
            raise refused("trigger_words", word, f"up to {_TRIGGER_WORD_CHARS_MAX} characters a word, in one line")
    if len(unique) > _TRIGGER_WORDS_MAX:
        raise refused("trigger_words", str(len(unique)), f"up to {_TRIGGER_WORDS_MAX} words")
    return unique


def checked_cover(url: str) -> str:
    """Return the address of a cover, or the path of a cover on this server. Empty: no cover. Raises InvalidValue."""
    if _COVER_PATH.fullmatch(url):
        return url
    fits = len(url) <= _COVER_CHARS_MAX and url.isprintable() and " " not in url
    if url and not (fits and url.startswith(("https://", "http://"))):
        raise refused("cover_url", url, "an address beginning with https:// or http://")
    return url


def read_tags(tags: list[str]) -> tuple[str, ...]:
    """Return the tags without surrounding spaces and without repetitions."""
    unique = tuple(dict.fromkeys(_word("tags", tag.strip()) for tag in tags if tag.strip()))
    if len(unique) > _TAGS_MAX:
        raise refused("tags", str(len(unique)), f"up to {_TAGS_MAX} tags")
    return unique


def read_category(category: str) -> tuple[str, ...]:
    """Return the category with this number."""
    if category.isascii() and category.isdigit() and len(category) <= 9 and int(category) in CATEGORIES:
        return (CATEGORIES[int(category[:9])],)
    raise refused("category_id", category, "an id of model_categories of GET /v3/metadata")


def checked_categories(names: list[str]) -> tuple[str, ...]:
    """Return the categories with these names, without repetitions."""
    for name in names:
        if name not in CATEGORIES.values():
            raise refused("categories", name, ", ".join(CATEGORIES.values()))
    return tuple(dict.fromkeys(names))


def checked_word(field: str, text: str) -> str:
    """Return a short text of one line, or raise InvalidValue."""
    return _word(field, text)


def read_visibility(text: str) -> Visibility:
    """Return a visibility; private if the text is empty."""
    try:
        return Visibility(text or "private")
    except ValueError:
        raise refused("visibility", text, ", ".join(Visibility)) from None


def _label(file_name: str) -> str:
    """Return the last part of a client's file name: a label, never a path."""
    if len(file_name) > _FILE_NAME_CHARS_MAX:
        raise refused("filename", file_name[:64], f"up to {_FILE_NAME_CHARS_MAX} characters")
    label = re.split(r"[/\\]", file_name)[-1]
    return "".join(c for c in label if c.isprintable())[:255]


def _source(text: str) -> Source:
    if text not in ("", Source.UPLOADING.value, Source.TRAINING.value):
        raise refused("source", text, "uploading, training")
    return Source(text or Source.UPLOADING.value)


def _word(field: str, text: str) -> str:
    if not text.isprintable() or len(text) > _WORD_CHARS_MAX or "," in text:
        raise refused(field, text, f"up to {_WORD_CHARS_MAX} characters without commas or line breaks")
    return text.strip()


def _boolean(field: str, text: str) -> bool:
    if text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    raise refused(field, text, "true, false, 1, 0")


def refused(field: str, value: str, allowed: str) -> errors.InvalidValue:
    """Return the error that names a field, its value and what it accepts."""
    short = value[:64]
    return errors.InvalidValue(
        f"{field}: {short!r} is not accepted; accepted: {allowed}", field=field, given=short, allowed=allowed
    )
