"""What each service is sent of a message with hostile values, and how it reads that.

Stand-ins take the messages over HTTPS and SMTP; readers of each service's markup, which know
nothing of how it is neutralised, say what a person would see.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import html
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apprise.plugins import NotifyBase
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.model.notice import Alert, AlertEvent, Receipt, RejectedEntry
from daybook.notifications import markup
from daybook.notifications.alerts import Messages
from tests.contract.raw_server import answer
from tests.integration.notifications.test_alert_redirects import Internet, certificate, internet

__all__ = ["certificate", "internet"]

EVIL = "https://evil.example"
LINK = "https://drive.google.com/file/d/1aB_cD-_eF/view?usp=drivesdk"
LOGS = "https://console.cloud.google.com/logs/query;query="
COMMAND = "`daybook retry 2026-01-18`"
SPACE = "\u200b"

ADDRESSES = {
    "slack": "https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/abcdefghijklmnopqrstuvwx",
    "slack, asked for Markdown": (
        "https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/abcdefghijklmnopqrstuvwx"
        "?format=markdown"
    ),
    "gchat": "https://chat.googleapis.com/v1/spaces/SPACE/messages?key=KEY&token=TOKEN",
    "gchat, asked for Markdown": (
        "https://chat.googleapis.com/v1/spaces/SPACE/messages?key=KEY&token=TOKEN&format=markdown"
    ),
    "discord": "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "discord, asked for Markdown": (
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?format=markdown"
    ),
    "telegram": "tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHI/12345",
    "telegram, asked for Markdown": (
        "tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHI/12345?format=markdown"
    ),
    "teams": "workflows://teams.example.com:443/abcdefghijklmnopqrst/abcdefghijklmnopqrstuvwxyz",
    "mattermost": "mmosts://chat.example.com/abcdefghijklmnopqrstuvwx",
    "rocket": "rockets://4eMTv5yPgMPz2kAx7/kTyMjCL9k5jKZQZQmkTyMjCL9k5jKZQZQmkTyMjCL9k@chat.example.com/%23c",
    "line": "line://CHANNELTOKEN/U4af4980629",
    "jsons": "jsons://alerts.example.com/daybook",
}
HOSTILE = {
    "link of Chat and Slack": f"<{EVIL}|Open the file>",
    "link of Markdown": f"[Open the file]({EVIL})",
    "link with an address as its text": f"[https://drive.google.com]({EVIL})",
    "link by reference": f"[Open][1] [1]: {EVIL}",
    "image": f"![file]({EVIL}/x.png)",
    "autolink": f"<{EVIL}>",
    "link of HTML": f'<a href="{EVIL}">Open the file</a><img src={EVIL}>',
    "everyone": "@everyone @here @channel @all x@everyone",
    "mention of Slack": "<!channel> <!here|here> <@U123> <#C123> <!subteam^S1>",
    "mention of Chat": "<users/all> <users/123>",
    "mention of Discord": "<@123> <@!123> <@&456> <#789>",
    "mention of Teams": "<at>Accounts</at>",
    "bold": "*bold* **bold** __bold__ <b>bold</b>",
    "italic": "_italic_ x _italic_ y *italic* INV_1_2",
    "struck": "~struck~ ~~struck~~ ||hidden||",
    "code": "`code` ``code`` ```code``` one ` more",
    "heading": "# Daily batch FAILED > quoted",
    "entities": "&lt;b&gt; &#60;b&#62; &amp;lt; AT&T",
    "escaped": f"\\*x\\* \\[Open\\]({EVIL}) \\\\[Open]({EVIL}) \\`x\\`",
    "lines": f"a\n# heading\r\n[Open]({EVIL})\u2028- b\x85c",
    "controls": "\x1b[2Ja\x07b\x9b2J",
    "bidirectional": "a\u202eb\u2066c\u2069\u200e\u200fd",
    "hidden brackets": f"[\u202eOpen\u202c](\x00{EVIL})",
}


@dataclass
class Seen:
    """What a person sees."""

    text: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)
    """Text and address of each that has a text of its own."""
    styles: list[str] = field(default_factory=list)
    """Bold and the like, headings, images, HTML."""
    mentions: list[str] = field(default_factory=list)


def plain(text: str) -> Seen:
    return Seen(text=text)


def slack(text: str) -> Seen:
    """With `mrkdwn` false: `<…>` is a link or a mention, and three entities."""
    seen = Seen()
    for inner in re.findall(r"<([^>]*)>", text):
        address, bar, label = inner.partition("|")
        if address[:1] in "!@#":
            seen.mentions.append(inner)
        elif bar:
            seen.links.append((label, address))
    seen.text = html.unescape(text)
    return seen


def chat(text: str) -> Seen:
    """https://developers.google.com/workspace/chat/format-messages"""
    seen = Seen(text=text)
    seen.mentions = re.findall(r"<users/[^>]*>", text)
    seen.links = [(label, url) for url, label in re.findall(r"<([^<>|]+)\|([^<>]+)>", text)]
    without = re.sub(r"`[^`\n]+`|https?://\S+", "", text)
    for sign in "*_~":
        seen.styles += re.findall(rf"(?<!\w)\{sign}\S(?:[^\n]*?\S)?\{sign}(?!\w)", without)
    seen.styles += re.findall(r"```", text)
    return seen


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.styles.append(tag)

    def handle_data(self, data: str) -> None:
        self.seen.text += data


def telegram(text: str) -> Seen:
    reader = _Html()
    reader.feed(text)
    reader.close()
    # The title is bold, and nothing else is.
    if reader.seen.styles[:1] == ["b"]:
        reader.seen.styles = reader.seen.styles[1:]
    return reader.seen


def markdown(text: str) -> Seen:
    """CommonMark with strikethrough and tables, and mentions by name or number."""
    seen = Seen()
    for block in MarkdownIt("commonmark").enable(["strikethrough", "table"]).parse(text):
        _read(block, seen)
        if block.type in ("heading_open", "html_block", "fence", "code_block", "table_open"):
            seen.styles.append(block.type)
    seen.mentions = re.findall(r"(?<!\\)<(?:@[!&]?|#)\w+>|<at>[^<]+</at>", text)
    seen.mentions += re.findall(r"(?i)@(?:everyone|here|channel|all)\b", text)
    seen.styles += re.findall(r"(?<!\\)\|\|", re.sub(r"`[^`\n]+`", "", text))
    return seen


def _read(block: Token, seen: Seen) -> None:
    href = ""
    for token in block.children or []:
        if token.type == "link_open":
            href, begun = str(token.attrs["href"]), len(seen.text)
        elif token.type == "link_close":
            seen.links.append((seen.text[begun:], href))
        elif token.type in ("softbreak", "hardbreak"):
            seen.text += "\n"
        elif token.type == "code_inline":
            seen.text += f"`{token.content}`"
        elif token.type == "text":
            seen.text += token.content
        elif not token.type.endswith("_close"):
            seen.styles.append(token.type)
    if block.type == "inline":
        seen.text += "\n"


def texts_of(doc: Any) -> list[str]:
    """The titles and texts of a request's document, in order."""
    if isinstance(doc, list):
        return [text for one in doc for text in texts_of(one)]
    if not isinstance(doc, dict):
        return []
    names = ("title", "text", "message", "content")
    own = [doc[name] for name in names if isinstance(doc.get(name), str)]
    return own + [text for one in doc.values() for text in texts_of(one)]


READERS: dict[str, Callable[[str], Seen]] = {
    "slack": slack,
    "gchat": chat,
    "discord": markdown,
    "mattermost": markdown,
    "rocket": markdown,
    "telegram": telegram,
    "teams": markdown,
    "line": plain,
    "jsons": plain,
}


def send(addresses: tuple[str, ...], value: str) -> int:
    """A receipt and an alert that quote `value`; how many addresses got the receipt."""
    messages = Messages(
        alert_urls=addresses,
        receipt_urls=addresses,
        language="en",
        time_zone=ZoneInfo("Asia/Bangkok"),
        project="acme",
        runbook="docs/runbook.md",
    )
    messages.alert(
        Alert(
            event=AlertEvent.BATCH_FAILED,
            severity=logging.CRITICAL,
            profile="daily",
            batch_date="2026-01-18",
            batch_id="b1",
            facts={"error_type": "google_drive", "error": value, "attempt": 4, "max_attempts": 4},
        )
    )
    fault = EntryFault(
        reason=RejectionReason.CONTROL_CHARACTER, field="reference", value=value, detail=""
    )
    rejected = RejectedEntry(entry_id="e1", reference=value, faults=(fault,), fault_count=1)
    return messages.receipt(
        Receipt(
            batch_id="b1",
            profile="daily",
            batch_date="2026-01-18",
            entry_count=1,
            row_count=2,
            rejected_count=1,
            totals={"THB": {"debit": "1.00", "credit": "1.00", "amount": "0"}},
            rejected=(rejected,),
            filename="batch_2026-01-18.csv",
            link=LINK,
            sha256="a" * 64,
            done_at=datetime(2026, 1, 18, 11, tzinfo=UTC),
        )
    )


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apprise sends a second message to Rocket.Chat only after 5.5 seconds."""
    monkeypatch.setattr(NotifyBase, "request_rate_per_sec", 0)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("service", ADDRESSES)
def test_a_hostile_value_is_text_in_every_service(
    internet: Internet,
    service: str,
    value: str,
) -> None:
    internet.always(answer("200 OK", b"ok" if service.startswith("slack") else b"{}"))
    assert send((ADDRESSES[service],), HOSTILE[value]) == 1
    read = READERS[service.partition(",")[0]]
    seen = [read(text) for body in internet.bodies for text in texts_of(json.loads(body))]
    whole = "\n".join(one.text for one in seen)
    assert [style for one in seen for style in one.styles] == []
    assert [mention for one in seen for mention in one.mentions] == []
    assert not re.findall(
        "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", whole
    )
    links = [link for one in seen for link in one.links]
    if service == "teams":
        assert {url for _, url in links} >= {LINK}
        assert [
            (label, url) for label, url in links if not url.startswith(label.removesuffix("…"))
        ] == []
        assert [url for _, url in links if url.startswith(LOGS)]
    else:
        assert links == []
        assert f"Link: {LINK}" in whole
        assert LOGS in whole
    assert COMMAND in whole
    if value == "lines":
        assert not re.search(r"(?m)^(#|heading|- b|c$)", whole)


def test_a_value_arrives_with_all_its_letters(
    internet: Internet,
) -> None:
    """What is neutralised can still be read and searched for."""
    value = "INV_26_1 a@b.example 50% #7 (net) {x} เลขที่ 5 Q&A"
    for service, address in ADDRESSES.items():
        internet.bodies.clear()
        internet.always(answer("200 OK", b"ok" if service.startswith("slack") else b"{}"))
        assert send((address,), value) == 1
        read = READERS[service.partition(",")[0]]
        seen = "\n".join(
            read(text).text for body in internet.bodies for text in texts_of(json.loads(body))
        )
        assert seen.count(value) == 3, (service, seen)


SIGNS = st.lists(
    st.sampled_from(
        [*"<>|[]()!*_~`\\&;#@-=+. \nab1:/", EVIL, "@everyone", "<@1>", "&lt;", "](", "```", "\\"]
    ),
    max_size=25,
).map("".join)


@settings(derandomize=True)  # CommonMark reads signs in a bare address that these services skip
@given(value=SIGNS)
@pytest.mark.parametrize(("service", "read"), [("discord", markdown), ("workflows", markdown)])
def test_no_markdown_is_read_in_any_value(
    service: str, read: Callable[[str], Seen], value: str
) -> None:
    line = " ".join(value.split())
    seen = read(markup.neutral(service, f"- {COMMAND} x {line} y: {LINK}"))
    assert (seen.styles, seen.mentions) == ([], [])
    for label, url in seen.links:
        assert url.replace("%26", "&").startswith(label.removesuffix("…"))
    if service == "discord":
        assert seen.links == []
    if "…" not in seen.text:  # where a long address is cut in its label
        letters = re.sub("`{2,}", "'", f"{COMMAND} x {line} y: {LINK}").replace("`", "'")
        # Code loses a blank at each end.
        read_letters = seen.text.replace(SPACE, "").replace("`", "'")
        assert "".join(read_letters.split()) == "".join(letters.split())


@settings(derandomize=True)
@given(value=SIGNS)
def test_no_markup_of_chat_is_read_in_any_value(value: str) -> None:
    line = " ".join(value.split())
    seen = chat(markup.neutral("gchat", f"- {COMMAND} x {line} y: {LINK}"))
    assert (seen.styles, seen.mentions, seen.links) == ([], [], [])
    assert seen.text.endswith(f" y: {LINK}")


class Mailbox:
    """An SMTP server that takes one message at a time; `got` are the messages."""

    def __init__(self) -> None:
        self.got: list[email.message.EmailMessage] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        connection.sendall(b"220 ready\r\n")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"DATA":
                connection.sendall(b"354 go on\r\n")
                raw = b"".join(iter(lines.readline, b".\r\n"))
                message = email.message_from_bytes(raw, policy=email.policy.default)
                assert isinstance(message, email.message.EmailMessage)
                self.got.append(message)
            connection.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 yes\r\n")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


@pytest.mark.parametrize("options", ["", "&format=html"])
def test_an_e_mail_is_plain_text(mailbox: Mailbox, options: str) -> None:
    address = f"mailto://127.0.0.1:{mailbox.port}?from=a@b.example&to=c@d.example&mode=insecure"
    for value in HOSTILE.values():
        mailbox.got.clear()
        assert send((address + options,), value) == 1
        for message in mailbox.got:
            assert [part.get_content_type() for part in message.walk()] == ["text/plain"]
            assert "\n" not in str(message["Subject"])
            assert {name for name in message if name.lower() in ("bcc", "cc")} == set()
        assert any(f"Link: {LINK}" in message.get_content() for message in mailbox.got)
