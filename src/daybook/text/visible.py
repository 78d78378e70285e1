"""Text written by others, for people: on a terminal, in a message, and in JSON on a terminal.

Control and format characters, line and paragraph separators and characters that Unicode has not
assigned can clear a screen, forge a line, or make a reference look like another one. White space
of any width is not among them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from daybook.text import display

# Controls, line and paragraph separators, and the characters that change the direction of
# text: https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_REORDERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LONGEST_SHOWN = 60
DOCUMENT = "a document"
ARRAY = "an array"
"""What `shown` returns for these instead of their contents."""


def visible(text: str) -> str:
    """One line for a terminal: every hidden character, including line breaks, as `[U+202E]`.

    Everything printed to a terminal goes through it. Half a surrogate pair, which is how invalid
    UTF-8 is decoded, is hidden too, so the result can always be encoded.
    """
    if text.isprintable():
        return text
    return "".join(named(sign) if _is_hidden(sign) else sign for sign in text)


def visible_lines(text: str) -> str:
    """The same for text whose line feeds are its layout, and not part of a value."""
    return "\n".join(map(visible, text.split("\n")))


def clean(text: str) -> str:
    """One line for a message: without control and bidirectional characters.

    White space of any kind becomes single spaces. Invisible characters that the spelling of a
    language or an emoji needs are kept.
    """
    line = _REORDERING.sub("", _BREAKS.sub(" ", text))
    return display.text(" ".join(line.split()))


def escaped(json_text: str) -> str:
    """JSON with these characters as escapes, so that its values stay the same.

    `json_text` has line feeds only between its values, as `json.dumps` writes it.
    """
    if json_text.isprintable():
        return json_text
    return "".join(
        _json_escape(sign) if sign != "\n" and _is_hidden(sign) else sign for sign in json_text
    )


def shown(value: object) -> str:
    """A stored value for a message: short, on one line, quoted if it is text."""
    if isinstance(value, Mapping):
        return DOCUMENT
    if isinstance(value, list):
        return ARRAY
    if not isinstance(value, str):
        return _short(visible(display.plain(value)))
    start = value[:_LONGEST_SHOWN]
    if not start.isprintable():  # includes white space other than a space, hidden in an amount
        start = "".join(sign if sign.isprintable() else named(sign) for sign in start)
    return _short(f"'{start}{'…' if len(value) > _LONGEST_SHOWN else ''}'")


def named(character: str) -> str:
    """A character by its number: `[U+202E]`."""
    return f"[U+{ord(character):04X}]"


def _is_hidden(sign: str) -> bool:
    return not sign.isprintable() and unicodedata.category(sign) != "Zs"


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
