"""A page as lines of plain text, so that a test can compare a whole page and a reader can see it.

``[label](address)`` is a link, ``{name=value}`` a field of a form with its marks, ``<label>`` a button, ``!address`` a
picture. What differs from run to run is replaced: tokens of sessions, digests of static files, signatures.
"""

import re
from html.parser import HTMLParser

_BLOCKS = re.compile(
    "article|dd|div|dl|dt|fieldset|figure|figcaption|form|h[123]|header|label|legend|li|main|nav|ol|p|pre|section|select|"
    "table|tbody|td|th|thead|title|tr|ul"
)
_MARKS = ("checked", "selected", "required", "multiple", "hidden", "disabled")
_LINE_CHARS_MAX = 110
_REPLACEMENTS = (
    (r"\?v=[0-9a-f]{16}", ""),
    (r"(\{token)=[^}]+", r"\1"),
    (r"\bsk_[\w-]+…?", "sk_KEY"),
    (r"(expires|key|signature)=[\w%-]+", r"\1=…"),
    (r"\b[0-9a-f]{32}\b", "0123…"),
)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._address = ""
        self._is_shown = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._is_shown = self._is_shown or tag in {"title", "body"}
        if _BLOCKS.fullmatch(tag):
            self.lines.append("")
        if tag in {"h1", "h2", "h3"}:
            self.lines[-1] += "#" * int(tag[1]) + " "
        elif tag == "a":
            self._address = values["href"]
            self.lines[-1] += "["
        elif tag == "button":
            self.lines[-1] += "<"
        elif tag == "form":
            self.lines[-1] += f"form {values.get('method', '')} {values.get('action', '')}".strip()
            self.lines.append("")
        elif tag in {"input", "option"}:
            marks = [name for name in _MARKS if name in values]
            limit = f" max={values['maxlength']}" if "maxlength" in values else ""
            kind = values.get("type", "")
            shown = " ".join(filter(None, [f"{values.get('name', '')}={values.get('value', '')}", kind, *marks]))
            self.lines[-1] += " {" + shown.removeprefix("=") + limit + "}"
        elif tag in {"b", "small", "span", "code"}:
            self.lines[-1] += " "
        elif tag == "select":
            self.lines[-1] += "{" + values["name"] + " select}"
        elif tag == "img":
            self.lines[-1] += f"!{values['src']} {values.get('srcset', '')}".rstrip() + " "
        elif tag == "use":
            self.lines[-1] += f"!{values['href']} "
        elif tag in {"rect", "polyline"}:
            self.lines[-1] += " " + (values.get("points") or values["width"]) + " "
        elif tag == "tr" and "class" in values:
            self.lines[-1] += values["class"] + ":"
        elif tag in {"td", "th"}:
            self.lines.pop()
            self.lines[-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.lines[-1] += f"]({self._address})"
        elif tag == "button":
            self.lines[-1] += ">"
        elif tag not in {"td", "th"} and _BLOCKS.fullmatch(tag):
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if self._is_shown:
            self.lines[-1] += data


def page_text(page: bytes) -> str:
    """Return the lines of a page, or of a part of one, from its title on."""
    reader = _Reader()
    text = page.decode()
    reader._is_shown = "<title>" not in text  # a part of a page
    reader.feed(text)
    lines = [" ".join(line.split()) for line in reader.lines]
    shown = "\n".join(line for line in lines if line)
    for pattern, replacement in _REPLACEMENTS:
        shown = re.sub(pattern, replacement, shown)
    return "\n".join(_fold(line) for line in shown.split("\n"))


def _fold(line: str) -> str:
    """Return a line, broken between the parts of a long address or list."""
    if len(line) <= _LINE_CHARS_MAX:
        return line
    parts = re.split(r"(?=&)|(?<=[|]) | (?=\{)|(?<=[.,;]) ", line)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) > _LINE_CHARS_MAX:
            lines.append("    " + part)
        else:
            lines[-1] += part if part.startswith("&") else " " + part
    return "\n".join(lines)


def main_text(page: bytes) -> str:
    """Return the lines of a page without its navigation."""
    before, _, main = page.partition(b"<main")
    return page_text(b"<main" + main.partition(b"</main>")[0] if main else before)
