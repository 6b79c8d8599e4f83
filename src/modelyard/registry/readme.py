"""The README.md of a repository: its front matter and its text, as facts of the owner.

    license, license_name, license_link    the licence
    tags                                   the tags; not-for-all-audiences says that the model is not safe for work
    instance_prompt                        the trigger words
    the text behind the front matter       the description; a heading on its first line is the title

Other fields, and values that a model cannot have, are named in ``ignored``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from modelyard import errors
from modelyard.facts import Facts
from modelyard.licences import parse_licence
from modelyard.registry.fields import checked_description, checked_title, read_tags, read_trigger_words

README = "README.md"
README_BYTES_MAX = 1 << 20
# YAML takes memory for each of its characters.
_FRONT_MATTER_CHARS_MAX = 32 * 1024
_NSFW_TAG = "not-for-all-audiences"
_LICENCE_CHARS_MAX = 200
# A README that this server made names these; they follow from the model.
_DERIVED = frozenset({"base_model", "pipeline_tag", "library_name"})


@dataclass(slots=True)
class _Reading:
    """The facts so far, the names of used fields, and why others are not used."""

    facts: Facts = field(default_factory=Facts)
    used: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def take(self, name: str, fact: str, read: Callable[[], Any]) -> None:
        """Set a fact from a field, or note why the field cannot be used."""
        try:
            self.facts = replace(self.facts, **{fact: read()})
            self.used.append(name)
        except errors.InvalidValue as problem:
            self.ignored.append(f"{name} ({problem.message})")


@dataclass(frozen=True, slots=True)
class Readme:
    """What a README.md says: facts, the names of the fields that became facts, and the fields that did not."""

    facts: Facts
    used: tuple[str, ...]
    ignored: tuple[str, ...]


def parse_readme(content: bytes) -> Readme:
    """Return the facts of a README.md. Nothing in it is an error: what cannot be used is named."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n").removeprefix("\ufeff")
    reading = _Reading()
    values, body = _split(text, reading)
    _read_front_matter(values, reading)
    lines = body.strip().split("\n")
    if lines[0].startswith("# "):
        reading.take("title", "title", lambda: checked_title("title", lines[0][2:]))
        body = "\n".join(lines[1:])
    if body.strip():
        reading.take("text", "description", lambda: checked_description(body.strip()))
    return Readme(reading.facts, tuple(reading.used), tuple(reading.ignored))


def _split(text: str, reading: _Reading) -> tuple[dict[str, Any], str]:
    """Return the front matter, empty if there is none that can be read, and the text behind it."""
    if not text.startswith("---\n"):
        return {}, text
    front_matter, separator, body = text.removeprefix("---\n").partition("\n---")
    if not separator:
        return {}, text
    body = body.partition("\n")[2]
    if len(front_matter) > _FRONT_MATTER_CHARS_MAX:
        reading.ignored.append(f"front matter (longer than {_FRONT_MATTER_CHARS_MAX:,} characters)")
        return {}, body
    try:
        values = yaml.safe_load(front_matter)
    except (yaml.YAMLError, RecursionError, ValueError):
        reading.ignored.append("front matter (not YAML)")
        return {}, body
    if not isinstance(values, dict):
        return {}, body
    return {key: value for key, value in values.items() if isinstance(key, str)}, body


def _read_front_matter(values: dict[str, Any], reading: _Reading) -> None:
    licence = values.get("license_link") or values.get("license_name") or values.get("license")
    if isinstance(licence, str) and licence.strip():
        reading.take("license", "licence", lambda: parse_licence(licence[:_LICENCE_CHARS_MAX]))
    tags = values.get("tags")
    if isinstance(tags, list):
        texts = [tag for tag in tags if isinstance(tag, str) and ":" not in tag]
        if _NSFW_TAG in texts:
            reading.facts = replace(reading.facts, is_nsfw=True)
        reading.take("tags", "tags", lambda: read_tags([tag for tag in texts if tag != _NSFW_TAG]))
    prompt = values.get("instance_prompt")
    if isinstance(prompt, str) and prompt.strip():
        reading.take("instance_prompt", "trigger_words", lambda: read_trigger_words(prompt.split(",")))
    known = {"license", "license_name", "license_link", "tags", "instance_prompt", *_DERIVED}
    reading.ignored += [name[:64] for name in sorted(values.keys() - known)][:20]
