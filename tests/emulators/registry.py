"""Stands in for a registry of container images that gives anonymous tokens, as Docker Hub does.

`tags` holds what a tag points at: "library/python:3.13" → the manifest's bytes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """Its address, and its images."""

    host: str
    tags: dict[str, bytes] = field(default_factory=dict)
    says: str | None = None
    """A digest that every answer names in place of the right one."""

    def digest(self, tagged: str) -> str:
        return f"sha256:{hashlib.sha256(self.tags[tagged]).hexdigest()}"


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry on a port of its own, without images."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/token":
                self.answer(200, json.dumps({"token": f"for {query}"}).encode())
                return
            repository, _, tag = path.removeprefix("/v2/").rpartition("/manifests/")
            scope = f"repository:{repository}:pull"
            token = (
                f"Bearer for service=standin&scope={scope.replace('/', '%2F').replace(':', '%3A')}"
            )
            manifest = here.tags.get(f"{repository}:{tag}")
            if self.headers["Authorization"] != token:
                realm = f'realm="http://{here.host}/token",service="standin",scope="{scope}"'
                self.answer(401, b"{}", {"WWW-Authenticate": f"Bearer {realm}"})
            elif manifest is None or INDEX not in self.headers["Accept"]:
                self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            else:
                told = here.says or here.digest(f"{repository}:{tag}")
                self.answer(200, manifest, {"Docker-Content-Digest": told})

        def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's)
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Registry(host=f"127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
