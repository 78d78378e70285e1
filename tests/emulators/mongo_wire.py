"""Frames of MongoDB's wire protocol.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013

_HEADER = struct.Struct("<iiii")
_CHECKSUM_PRESENT = 1
_BODY, _DOCUMENT_SEQUENCE = 0, 1


class Header(NamedTuple):
    size_bytes: int
    request_id: int
    response_to: int
    opcode: int


def header_of(message: bytes) -> Header:
    return Header(*_HEADER.unpack_from(message))


def receive(source: socket.socket) -> bytes | None:
    """One whole message, or None where the stream ends between two."""
    header = _receive_exactly(source, _HEADER.size)
    if header is None:
        return None
    body = _receive_exactly(source, header_of(header).size_bytes - _HEADER.size)
    return None if body is None else header + body


def _receive_exactly(source: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        piece = source.recv(min(size - len(received), 1 << 20))
        if not piece:
            return None
        received += piece
    return bytes(received)


def with_body(message: bytes, body: Mapping[str, Any]) -> bytes:
    """The OP_MSG with another body, and without a checksum or document sequences."""
    header = header_of(message)
    encoded = bson.encode(body)
    size_bytes = _HEADER.size + 4 + 1 + len(encoded)
    return (
        _HEADER.pack(size_bytes, header.request_id, header.response_to, OP_MSG)
        + struct.pack("<I", 0)
        + bytes([_BODY])
        + encoded
    )


def decode(message: bytes) -> dict[str, Any]:
    """The body of an OP_MSG, with each document sequence as an array under its name."""
    opcode = header_of(message).opcode
    if opcode != OP_MSG:
        raise ValueError(f"opcode {opcode} is not understood; is compression on?")
    (flags,) = struct.unpack_from("<I", message, _HEADER.size)
    end = len(message) - (4 if flags & _CHECKSUM_PRESENT else 0)
    at = _HEADER.size + 4
    body: dict[str, Any] = {}
    sequences: dict[str, Any] = {}
    while at < end:
        kind = message[at]
        (size,) = struct.unpack_from("<i", message, at + 1)
        section = message[at + 1 : at + 1 + size]
        if kind == _BODY:
            body = bson.decode(section)
        elif kind == _DOCUMENT_SEQUENCE:
            name, _, documents = section[4:].partition(b"\0")
            sequences[name.decode()] = bson.decode_all(documents)
        else:
            raise ValueError(f"section kind {kind} is not understood")
        at += 1 + size
    return body | sequences
