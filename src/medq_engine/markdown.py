"""GitHub-flavoured Markdown in which foreign text stays text.

Text that people typed goes into pull requests. Nothing in it may break a table, become a tag, a
link, an image, a formula or a mention of somebody, or turn the reading direction around.
"""

import re
import unicodedata
from collections.abc import Sequence

LIMIT = 80
ELLIPSIS = "…"
# Joiners shape Persian and Indic words and emoji, and hide nothing.
JOINERS = "\u200c\u200d"
# What means something inside a line; of colons and dots only those of a bare address.
SYNTAX = re.compile(r"[\\`*_~\[\]<|&$]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# Mentions and references are looked up after escapes are resolved: something invisible parts them.
REFERENCE = re.compile(r"(?<=[@#])(?=\w)|(?<=\bGH)(?=-\d)", re.IGNORECASE)
ZERO_WIDTH_SPACE = "\u200b"


def one_line(text: object, limit: int = LIMIT) -> str:
    """Text on one line, cut after so many characters, with what cannot be seen made visible.

    White space and control characters become a space; what turns the reading direction or takes no
    room becomes U+FFFD.
    """
    head = str(text)[: 8 * limit]
    shown = "".join(map(_visible, head))
    line = " ".join(shown.split())
    whole = len(line) <= limit and len(head) == len(str(text))
    return line if whole else line[: limit - 1].rstrip() + ELLIPSIS


def escape(text: object, limit: int = LIMIT) -> str:
    """Text as Markdown, to stand inside a line, that shows exactly what `one_line` gives."""
    escaped = SYNTAX.sub(r"\\\g<0>", one_line(text, limit))
    return REFERENCE.sub(ZERO_WIDTH_SPACE, escaped)


def table(head: Sequence[str], rows: Sequence[Sequence[object]], limit: int = LIMIT) -> str:
    """A table of plain text and numbers; every cell is escaped, numbers stand to the right."""
    numeric = [
        bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        for column in range(len(head))
    ]
    cells = [[escape(cell, limit) for cell in row] for row in (head, *rows)]
    lines = [cells[0], ["---:" if right else "---" for right in numeric], *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if character.isspace() or kind == "Cc":
        return " "
    if kind in ("Cf", "Cs", "Co") and character not in JOINERS:
        return "\N{REPLACEMENT CHARACTER}"
    return character
