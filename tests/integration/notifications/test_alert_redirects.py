"""Each service that messages can go to, reached through a proxy that answers in its place."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from daybook.notifications import delivery
from daybook.notifications.delivery import DeliveryFault
from daybook.notifications.messages import Message
from tests.contract.raw_server import answer

SERVICES = {
    "slack": (
        "https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/abcdefghijklmnopqrstuvwx",
        "hooks.slack.com",
    ),
    "gchat": (
        "https://chat.googleapis.com/v1/spaces/SPACE/messages?key=KEY&token=TOKEN",
        "chat.googleapis.com",
    ),
    "line": ("line://CHANNELTOKEN/U4af4980629", "api.line.me"),
    "jsons": ("jsons://alerts.example.com/daybook", "alerts.example.com"),
    "jsons that asks for it": (
        "jsons://alerts.example.com/daybook?redirect=yes",
        "alerts.example.com",
    ),
}
MORE_HOSTS = (
    *("accounts.example.com", "discord.com", "api.telegram.org", "teams.example.com"),
    *("chat.example.com",),
)
PAGE = b"<!DOCTYPE html><title>Sign in</title>"
REDIRECTS = {
    "another host": answer("302 Found", PAGE, "Location: https://accounts.example.com/signin"),
    "the same host": answer("302 Found", PAGE, "Location: /signin"),
    "301": answer("301 Moved Permanently", b"", "Location: /elsewhere"),
    "303": answer("303 See Other", b"", "Location: /elsewhere"),
    "307": answer("307 Temporary Redirect", b"", "Location: https://accounts.example.com/"),
    "308": answer("308 Permanent Redirect", b"", "Location: https://accounts.example.com/"),
    "plain HTTP": answer("302 Found", b"", "Location: http://accounts.example.com/"),
    "nowhere": answer("302 Found", b""),
    "300": answer("300 Multiple Choices", PAGE, "Content-Type: text/html"),
    "page with 401": answer("401 Unauthorized", PAGE, "Content-Type: text/html"),
    "page with 403": answer("403 Forbidden", PAGE, "Content-Type: text/html"),
}


class Internet:
    """An HTTPS proxy behind which every host gives the same `raw` answer.

    `asked` has the hosts with the requests' first lines, `bodies` what they brought.

    A sign-in page that is reached answers 200, as the real ones do.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.raw = b""
        self.steady = False
        self.asked: list[tuple[str, bytes]] = []
        self.bodies: list[bytes] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def always(self, raw: bytes) -> None:
        """Give this answer to every request, not to the first only."""
        self.raw, self.steady = raw, True

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            line = _request(connection)[0].split(b"\r\n")[0]
            if not line.startswith(b"CONNECT "):
                self.asked.append((line.split()[1].decode(), line))
                connection.sendall(answer("200 OK", PAGE))
                return
            host = line.split()[1].rpartition(b":")[0].decode()
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self._context.wrap_socket(connection, server_side=True) as secure:
                request, body = _request(secure)
                self.bodies.append(body)
                self.asked.append((host, request.split(b"\r\n")[0]))
                first = len(self.asked) == 1
                secure.sendall(self.raw if first or self.steady else answer("200 OK", PAGE))


def _request(connection: socket.socket) -> tuple[bytes, bytes]:
    """A request's head and, by its length, its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(65536)
        if not block:
            return received, b""
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while left > 0 and (block := connection.recv(65536)):
        left -= len(block)
        body += block
    return head, body


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, with its key, for all hosts of the table."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    hosts = sorted({*(host for _, host in SERVICES.values()), *MORE_HOSTS})
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("internet") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def internet(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    internet = Internet(context)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, internet.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    yield internet
    internet.close()


def deliver(service: str) -> list[DeliveryFault]:
    message = Message(title="Daybook", text="text")
    missed = delivery.deliver([SERVICES[service][0]], message, logging.CRITICAL)
    return [one.fault for one in missed]


@pytest.mark.parametrize("service", SERVICES)
def test_message_arrives_at_the_service_itself(internet: Internet, service: str) -> None:
    internet.raw = answer("200 OK", b"ok" if service == "slack" else b"{}")
    assert deliver(service) == []
    assert [host for host, _ in internet.asked] == [SERVICES[service][1]]
    assert internet.asked[0][1].startswith(b"POST ")


@pytest.mark.parametrize("redirect", REDIRECTS)
@pytest.mark.parametrize("service", SERVICES)
def test_redirect_is_not_followed_and_counts_as_refused(
    internet: Internet, service: str, redirect: str
) -> None:
    internet.raw = REDIRECTS[redirect]
    assert deliver(service) == [DeliveryFault.REFUSED]
    assert {host for host, _ in internet.asked} == {SERVICES[service][1]}
    assert all(line.startswith(b"POST ") for _, line in internet.asked)


def test_page_in_place_of_slacks_answer_counts_as_refused(internet: Internet) -> None:
    internet.raw = answer("200 OK", PAGE, "Content-Type: text/html")
    assert deliver("slack") == [DeliveryFault.REFUSED]
