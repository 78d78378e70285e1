"""Stands in for Cloud Storage, with one bucket and rights on it.

As much of the JSON API, and of the XML API's GET, as gcloud and Terraform's `gcs` backend use.
The bearer token names the caller. What replaces an object needs the right to delete it,
and a missing object is 404 only to those who may list the bucket, as at Google.
https://cloud.google.com/storage/docs/access-control/iam-json
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

May = Callable[[str, str, str], bool]
"""Caller, permission such as `storage.objects.get`, resource name → whether it is granted."""


@dataclass
class Bucket:
    """Its address, its objects, and the requests that were refused."""

    name: str
    url: str
    may: May
    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Name → generation and content."""
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """Caller, permission and resource name."""
    generations: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def resource(self, name: str | None = None) -> str:
        """As conditions call it: the bucket, or an object in it."""
        bucket = f"projects/_/buckets/{self.name}"
        return bucket if name is None else f"{bucket}/objects/{name}"

    def metadata(self, name: str) -> dict[str, str]:
        generation, content = self.objects[name]
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": self.name,
            "generation": str(generation),
            "metageneration": "1",
            "mediaLink": f"{self.url}/storage/v1/b/{self.name}/o/{quote(name, safe='')}?alt=media",
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),  # noqa: S324
        }


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def storage(name: str, may: May) -> Iterator[Bucket]:
    """One empty bucket on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def need(self, permission: str, name: str | None = None) -> None:
            caller = self.headers.get("Authorization", "").removeprefix("Bearer ")
            asked = (caller, f"storage.objects.{permission}", here.resource(name))
            if not here.may(*asked):
                here.refused.append(asked)
                raise _Refused(403, f"{caller} does not have {asked[1]} access to {asked[2]}")

        def found(self, name: str) -> tuple[int, bytes]:
            self.need("get", name)
            if name not in here.objects:
                self.need("list")
                raise _Refused(404, f"No such object: {here.name}/{name}")
            return here.objects[name]

        def expect(self, name: str, query: dict[str, str]) -> None:
            wanted = query.get("ifGenerationMatch")
            if wanted is not None and here.objects.get(name, (0, b""))[0] != int(wanted):
                raise _Refused(
                    412, "At least one of the pre-conditions you specified did not hold."
                )

        def handle_request(self) -> None:
            body = self.body()
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            try:
                with here.lock:
                    self.route(parts.path, query, body)
            except _Refused as refused:
                error = {"code": refused.code, "message": str(refused)}
                self.answer(refused.code, json.dumps({"error": error}).encode())

        do_GET = do_POST = do_PUT = do_DELETE = handle_request  # noqa: N815

        def route(self, path: str, query: dict[str, str], body: bytes) -> None:
            of_bucket = f"/storage/v1/b/{here.name}/o"
            if self.command == "POST" and path.endswith(of_bucket):
                self.insert(query, body)
            elif self.command == "GET" and path == of_bucket:
                self.need("list")
                names = [n for n in sorted(here.objects) if n.startswith(query.get("prefix", ""))]
                self.json({"kind": "storage#objects", "items": [here.metadata(n) for n in names]})
            elif path.removeprefix("/download").startswith(f"{of_bucket}/"):
                name = unquote(path.removeprefix("/download").removeprefix(f"{of_bucket}/"))
                if self.command == "DELETE":
                    self.need("delete", name)
                    self.found(name)
                    self.expect(name, query)
                    del here.objects[name]
                    self.answer(204, b"")
                elif query.get("alt") == "media":
                    self.media(name)
                else:
                    self.found(name)
                    self.json(here.metadata(name))
            elif self.command == "GET" and path.startswith(f"/{here.name}/"):
                self.media(unquote(path.removeprefix(f"/{here.name}/")))
            else:
                raise _Refused(501, f"not emulated: {self.command} {self.path}")

        def insert(self, query: dict[str, str], body: bytes) -> None:
            if query.get("uploadType") != "multipart":
                raise _Refused(501, f"not emulated: {self.path}")
            described, content = _parts(self.headers["Content-Type"], body)
            told = json.loads(described)
            name = query.get("name") or told["name"]
            self.need("create", name)
            if name in here.objects:
                self.expect(name, query)
                self.need("delete", name)
            self.expect(name, query)
            here.generations += 1
            here.objects[name] = (here.generations, content)
            self.json(here.metadata(name))

        def media(self, name: str) -> None:
            generation, content = self.found(name)
            self.answer(200, content, {"X-Goog-Generation": str(generation)})

        def json(self, answer: object) -> None:
            self.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's)
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Bucket(name=name, url=f"http://127.0.0.1:{server.server_address[1]}", may=may)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _parts(content_type: str, body: bytes) -> tuple[bytes, bytes]:
    """An object's metadata and its bytes, as a multipart upload brings them."""
    (boundary,) = re.findall(r"boundary=['\"]?([^'\";]+)", content_type)
    _, *parts, _ = body.split(b"--" + boundary.encode())
    described, content = (
        re.split(rb"\r?\n\r?\n", re.sub(rb"\r?\n\Z", b"", part), maxsplit=1)[1] for part in parts
    )
    return described, content
