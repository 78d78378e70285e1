"""Escaping a message's text, so that a service finds no markup or mention in it.

References and errors come from outside. `<https://evil.example|Open the file>` would become a
link that hides its address in Google Chat, `[text](url)` one in Discord, and `@everyone` calls
a channel. Our own markup stays: code between backquotes, and addresses of files and logs.

Slack, Telegram and e-mail are not here: Apprise escapes plain text for them. LINE and your own
webhook show the text unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

FORMATS: Mapping[str, str] = {
    **dict.fromkeys(("gchat", "slack", "discord", "mmost", "mmosts"), "text"),
    **dict.fromkeys(("mailto", "mailtos"), "text"),
    "tgram": "html",
}
"""Service → the format in which Apprise sends, whatever an address requests."""

_ADDRESS = r"https?://(?:(?!&#?\w+;)[^\s<>|`\"'\\^{}\[\]()*~@…])+"
"""Matches text without characters that a service reads as markup, entity or end of an address."""
_OWN = re.compile(rf"(`[^`\n]+`)|({_ADDRESS})")
_FENCE = re.compile("`{2,}")
_MARKDOWN = re.compile(r"[\\*_~|\[\]<>]|!|&(?=#?\w)|(?<!\w)#")
# A zero-width space separates the sign from the name. E-mail addresses stay unchanged.
_MENTION = re.compile(r"(?i)@(?=everyone|here|all\b|channel)|(?<![\w.+-])@(?=\w)")
_CHAT = str.maketrans({"<": "‹", ">": "›", "*": "∗", "~": "∼"})
_ENTITY = re.compile(r"&(?=#?\w+;)")
_CHAT_ITALIC = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


_LONGEST_LABEL = 60


def is_ours(service: str) -> bool:
    """Whether `neutral` does what Apprise does for other services."""
    return service in _NEUTRAL


def neutral(service: str, text: str) -> str:
    """`text` in the form to send to the service, which is named by Apprise's scheme."""
    make = _NEUTRAL.get(service)
    return text if make is None else make(_paired(text))


def _paired(text: str) -> str:
    """The text with backquotes only where they enclose something in one line."""
    lines = _FENCE.sub("'", text).split("\n")
    return "\n".join(line.replace("`", "'") if line.count("`") % 2 else line for line in lines)


def _each(
    text: str,
    *,
    other: Callable[[str], str],
    address: Callable[[str], str] = str,
    code: Callable[[str], str] = str,
) -> str:
    """The text with each of its parts changed by its own function."""
    parts, at = [], 0
    for found in _OWN.finditer(text):
        parts.append(other(text[at : found.start()]))
        parts.append(code(found[1]) if found[1] else address(found[2]))
        at = found.end()
    return "".join([*parts, other(text[at:])])


def _markdown(text: str) -> str:
    """CommonMark, as Discord, Mattermost and Rocket.Chat read it."""
    return _each(text, other=_literal, code=_unmentioned)


def _teams(text: str) -> str:
    """The subset of adaptive cards, in which an address alone need not be a link.

    https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features
    """
    return _each(text, other=_literal, address=_link, code=_unmentioned)


def _link(url: str) -> str:
    """A link's text begins with its address, and so shows where it leads."""
    label = url if len(url) <= _LONGEST_LABEL else url[: _LONGEST_LABEL - 1] + "…"
    return f"[{_literal(label)}]({_ENTITY.sub('%26', url)})"


def _literal(text: str) -> str:
    return _unmentioned(_MARKDOWN.sub(lambda found: f"\\{found[0]}", text))


def _unmentioned(text: str) -> str:
    return _MENTION.sub("@\N{ZERO WIDTH SPACE}", text)


def _google_chat(text: str) -> str:
    """Google Chat does not have escapes, so look-alike characters replace its markup.

    https://developers.google.com/workspace/chat/format-messages
    """
    return _each(text, other=_alike, code=_alike)


def _alike(text: str) -> str:
    return _ENTITY.sub("＆", _CHAT_ITALIC.sub("＿", text.translate(_CHAT)))


_NEUTRAL: Mapping[str, Callable[[str], str]] = {
    "gchat": _google_chat,
    **dict.fromkeys(("discord", "mmost", "mmosts", "rocket", "rockets"), _markdown),
    **dict.fromkeys(("workflow", "workflows"), _teams),
}
