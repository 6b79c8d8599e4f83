"""Draw docs/operate/scale.svg from docs/operate/scale.txt: boxes in rows, and arrows between them.

    python scripts/draw.py            writes docs/operate/scale.svg

A line of the text is `box NAME X Y WIDTH | title | line | …`, in units of ten pixels, or `arrow FROM TO | what goes`.
"""

import html
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "operate"
_UNIT, _BOX_HEIGHT, _LINE = 10, 6, 16


def draw(text: str) -> str:
    """Return the drawing of a text, as SVG."""
    boxes: dict[str, tuple[int, int, int, int]] = {}
    drawn: list[str] = []
    for line in text.splitlines():
        head, *said = (part.strip() for part in line.split("|"))
        match head.split():
            case ["box", name, x, y, width]:
                height = _BOX_HEIGHT * _UNIT if len(said) < 4 else _BOX_HEIGHT * _UNIT + _LINE * (len(said) - 3)
                boxes[name] = (int(x) * _UNIT, int(y) * _UNIT, int(width) * _UNIT, height)
                drawn += _box(*boxes[name], said)
            case ["arrow", begin, end]:
                drawn += _arrow(boxes[begin], boxes[end], said[0] if said else "")
            case []:
                continue
            case _:
                raise ValueError(f"neither a box nor an arrow: {line!r}")
    width = max(x + w for x, _, w, _ in boxes.values()) + _UNIT
    height = max(y + h for _, y, _, h in boxes.values()) + _UNIT
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    marker = 'id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<defs><marker {marker}><path d="M0 0 8 4 0 8z" fill="#456"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    )
    return "\n".join((*head, *drawn, "</svg>\n"))


def _box(x: int, y: int, width: int, height: int, said: list[str]) -> list[str]:
    lines = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="#eef3f8" stroke="#456"/>']
    for number, words in enumerate(said):
        weight = ' font-weight="bold"' if number == 0 else ""
        at = y + 20 + number * _LINE
        lines.append(f'<text x="{x + width // 2}" y="{at}" text-anchor="middle"{weight}>{html.escape(words)}</text>')
    return lines


def _arrow(begin: tuple[int, int, int, int], end: tuple[int, int, int, int], said: str) -> list[str]:
    """Draw from the lower edge of one box to the upper edge of another, or sideways within a row."""
    if begin[1] == end[1]:
        at = begin[1] + begin[3] // 2
        left, right = sorted((begin, end))
        x1, x2 = (left[0] + left[2], right[0]) if begin is left else (right[0], left[0] + left[2])
        y1 = y2 = at
    else:
        x1, y1 = begin[0] + begin[2] // 2, begin[1] + begin[3]
        x2, y2 = end[0] + end[2] // 2, end[1]
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#456" marker-end="url(#end)"/>'
    place = f'x="{(x1 + x2) // 2 + 6}" y="{(y1 + y2) // 2 - 4}"'
    return [line, *([f'<text {place} fill="#234" font-size="11">{html.escape(said)}</text>'] if said else [])]


if __name__ == "__main__":
    (FOLDER / "scale.svg").write_text(draw((FOLDER / "scale.txt").read_text(encoding="utf-8")), encoding="utf-8")
