"""Text for people without characters that hide or reorder what surrounds them."""

from __future__ import annotations

import re

from daybook import display

# Controls other than TAB, CR and LF, and the characters that change the direction of text:
# with them, a reference can be displayed as another one.
# https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_HIDDEN_OR_SURROGATE = re.compile(f"{_HIDDEN.pattern}|[\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with control and bidirectional characters written as `[U+202E]`.

    A byte that was no UTF-8, or half a surrogate pair, becomes U+FFFD, so that the result
    can always be encoded.
    """
    return display.text(_HIDDEN.sub(lambda found: named(found[0]), text))


def escaped(json_text: str) -> str:
    """JSON with the same characters, and lone surrogates, as escapes, so its values stay."""
    return _HIDDEN_OR_SURROGATE.sub(_escape, json_text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def named(character: str) -> str:
    """A character by its number: `[U+202E]`."""
    return f"[U+{ord(character):04X}]"
