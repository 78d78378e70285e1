"""The texts of a PDF that LibreOffice wrote, page by page: no more of PDF than it uses."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

_OBJECT = re.compile(rb"(?:^|\n)(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_CHARACTER = re.compile(rb"<([0-9A-F]{2})> <([0-9A-F]+)>")
_FONT = re.compile(rb"/(F\d+) (\d+) 0 R")
_SHOWN = re.compile(rb"/(F\d+) [\d.]+ Tf|\[(.*?)\]TJ|<([0-9A-F]*)>Tj")
_HEX = re.compile(rb"<([0-9A-F]*)>")


def pages(path: Path) -> list[list[str]]:
    """The texts of each page, in the order in which they are drawn."""
    objects = {int(found[1]): found[2] for found in _OBJECT.finditer(path.read_bytes())}
    fonts = {
        name: dict(_CHARACTER.findall(_stream(objects[_reference(objects[int(at)], b"ToUnicode")])))
        for body in objects.values()
        if body.startswith(b"<</F1 ")
        for name, at in _FONT.findall(body)
    }
    found = [body for body in objects.values() if body.startswith(b"<</Type/Page/")]
    return [_texts(_stream(objects[_reference(one, b"Contents")]), fonts) for one in found]


def _texts(content: bytes, fonts: dict[bytes, dict[bytes, bytes]]) -> list[str]:
    texts: list[str] = []
    font: dict[bytes, bytes] = {}
    for name, pieces, whole in _SHOWN.findall(content):
        if name:
            font = fonts[name]
            continue
        codes = b"".join(_HEX.findall(pieces)) or whole
        signs = (font[codes[at : at + 2]] for at in range(0, len(codes), 2))
        texts.append(bytes.fromhex(b"".join(signs).decode()).decode("utf-16-be"))
    return texts


def _reference(body: bytes, key: bytes) -> int:
    found = re.search(rb"/" + key + rb" (\d+) 0 R", body)
    assert found, (key, body[:200])
    return int(found[1])


def _stream(body: bytes) -> bytes:
    return zlib.decompressobj().decompress(body[body.index(b"stream\n") + 7 :])
