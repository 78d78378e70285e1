"""Whole BSON documents as another application could leave them, raw bytes included."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import bson
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import strategies as st


@dataclass(frozen=True)
class RawText:
    """A BSON string of arbitrary bytes, which need not be UTF-8."""

    content: bytes


@dataclass(frozen=True)
class Pairs:
    """A document that may name a field twice."""

    pairs: tuple[tuple[str | bytes, Any], ...]


@dataclass(frozen=True)
class Deprecated:
    """A value of a BSON type that drivers no longer write, by the number of its type."""

    number: int
    content: bytes


def encode(doc: Mapping[Any, Any] | Pairs) -> RawBSONDocument:
    """The document as bytes that the server stores unseen."""
    return RawBSONDocument(_document(doc))


def _document(doc: Mapping[Any, Any] | Pairs) -> bytes:
    pairs = doc.pairs if isinstance(doc, Pairs) else doc.items()
    body = b"".join(_element(_name(name), value) for name, value in pairs)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _name(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _element(name: bytes, value: Any) -> bytes:
    if isinstance(value, RawText):
        return b"\x02%s\0%s%s\0" % (name, struct.pack("<i", len(value.content) + 1), value.content)
    if isinstance(value, Deprecated):
        return b"%c%s\0%s" % (value.number, name, value.content)
    if isinstance(value, Pairs | Mapping) and not isinstance(value, RawBSONDocument):
        return b"\x03%s\0%s" % (name, _document(value))
    if isinstance(value, list):
        return b"\x04%s\0%s" % (name, _document({str(at): one for at, one in enumerate(value)}))
    whole = bson.encode({"": value})
    return whole[4:5] + name + whole[5:-1]


TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "0",
                "-5",
                "=1+2",
                "+66",
                "@x",
                "\t=1",
                "fee;=1+2",
                "a,b",
                'say "x"',
                "a\tb",
            ),
            *(
                "a\r\nb",
                "\x00",
                "a\x00b",
                "\x07bell",
                "\x1b[31m",
                "\x7f",
                "\x85",
                "\u2028",
                "\ufeff=",
            ),
            *("\u202egnirts\u202c", "＝1", "ค่าบริการ", "𝟙", "0042", "5-2000", "1E5", "x" * 5000),
            *("{{7*7}}", "<script>", "$where", "a.b", "'; drop", "NaN", "null", "\ud7ff", "\ufffe"),
        ]
    ),
)
RAW_TEXTS = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\xa1\xd2\xc3", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"ab\xff", b"\xf4\x90\x80\x80"]
    ),
).map(RawText)
CURRENCIES = st.one_of(
    st.sampled_from(
        [
            *(
                "THB",
                "thb",
                " THB ",
                "THB ",
                "ＴＨＢ",
                "JPY",
                "JPY ",
                "jpy",
                "KWD",
                "USD",
                "บาท",
                "764",
                "",
            ),
            *(
                "   ",
                "THBX",
                "TH",
                "US$",
                "$",
                "a.b",
                "THB\n",
                "\u200bTHB",
                "XXX",
                "BTC",
                "THB,USD",
            ),
        ]
    ),
    TEXTS,
)
DECIMALS = st.one_of(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-100, max_value=100),
    st.sampled_from(
        [
            *(
                "NaN",
                "sNaN",
                "Infinity",
                "-Infinity",
                "1E+6000",
                "1E-6000",
                "0E+6000",
                "-0",
                "-0.00",
            ),
            *(
                "9" * 18,
                "9" * 18 + ".99",
                "1" + "0" * 18,
                "1E+17",
                "1E+18",
                "12.50",
                "12.5",
                "100.000",
            ),
            *("0.001", "0.005", "1E+2", "9999999999999999999999999999999999"),
        ]
    ).map(Decimal),
).map(Decimal128)
DOUBLES = st.one_of(
    st.floats(),
    st.sampled_from(
        [
            0.1 + 0.2,
            10.5,
            -0.0,
            0.0,
            1e300,
            5e-324,
            1e17,
            1e18,
            123456789.01,
            0.005,
            2.0**53,
            -1.005,
        ]
    ),
    st.integers(-(10**6), 10**6).map(lambda minor: minor / 100),
)
INTEGERS = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.sampled_from([0, 1, -1, 100, Int64(250), Int64(10**18), Int64(10**18 - 1)]),
)
DATES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(
        [
            *(0, -1, 946_659_600_000, 946_659_599_999, 4_133_955_600_000 - 1, 4_133_955_600_000),
            *(1_768_712_400_000, 18_904_000_000_000, 253_402_300_800_000, -62_135_596_800_001),
        ]
    ),
    st.integers(946_000_000_000, 4_134_000_000_000),
).map(DatetimeMS)
OTHERS = st.one_of(
    st.none(),
    st.booleans(),
    st.binary(max_size=20).flatmap(
        lambda content: st.sampled_from([0, 1, 2, 3, 4, 5, 128]).map(
            lambda subtype: Binary(content, subtype)
        )
    ),
    st.uuids().map(Binary.from_uuid),
    st.sampled_from(
        [
            *(MinKey(), MaxKey(), Regex(".*"), Regex("(", "i"), Code("x"), Code("x", {"a": 1})),
            *(Timestamp(1, 1), DBRef("journalentries", 1), {}, [], {"$ne": None}, {"$gt": ""}),
            *({"$numberDecimal": "1"}, {"a.b": 1}, [None], [[]], ObjectId("0" * 24)),
        ]
    ),
    st.binary(min_size=12, max_size=12).map(ObjectId),
)
UNDEFINED = Deprecated(6, b"")
DB_POINTER = Deprecated(12, b"\x02\0\0\0c\0" + bytes(12))
SYMBOL = Deprecated(14, b"\x04\0\0\0THB\0")
DEPRECATED = st.sampled_from([UNDEFINED, DB_POINTER, SYMBOL])
SCALARS = st.one_of(OTHERS, TEXTS, RAW_TEXTS, DECIMALS, DOUBLES, INTEGERS, DATES, DEPRECATED)
NAMES = st.one_of(
    st.sampled_from(["a", "debit", "credit", "v", "_id", "", "$set", "a.b", "0", "__proto__"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.just(b"\xff\xfe"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(NAMES, inner), max_size=3).map(lambda pairs: Pairs(tuple(pairs))),
    ),
    max_leaves=5,
)
"""Any BSON value."""

_UNSTORABLE_IDS = (list, Regex)
_DOCUMENTS = st.sampled_from(
    [
        {"company": 7, "no": Int64(12)},
        Pairs((("a", 1), ("a", 2))),
        Pairs((("a", Pairs((("b", 1), ("b", 1)))),)),
        {"a": UNDEFINED},
        {"a": SYMBOL},
        {"a": RawText(b"\xff")},
    ]
)
LONG_TEXTS = st.sampled_from([1024, 1025, 2**20]).map(lambda length: "x" * length)
IDS = (
    st.one_of(SCALARS, _DOCUMENTS, LONG_TEXTS)
    .filter(lambda value: not isinstance(value, _UNSTORABLE_IDS))
    .filter(
        lambda value: not (isinstance(value, dict) and any(key.startswith("$") for key in value))
    )
)
"""Any value that the server takes as `_id`."""


@st.composite
def altered(draw: st.DrawFn, base: Mapping[str, Any], likely: Mapping[str, Any]) -> Any:
    """`base` with up to four changes; `likely` gives fields values of their own kind.

    `_id` is left alone: it is for the application to choose.
    """
    doc: Any = dict(base)
    for _ in range(draw(st.integers(0, 4))):
        doc = draw(_changed(doc, likely))
    return doc


@st.composite
def _changed(draw: st.DrawFn, doc: Any, likely: Mapping[str, Any]) -> Any:
    names = [name for name in doc if name != "_id"] if isinstance(doc, dict) else []
    if not names:
        return {**doc, draw(NAMES.filter(lambda name: name != "_id")): draw(VALUES)}
    name = draw(st.sampled_from(names))
    value = doc[name]
    kinds = ["value", "value", "delete", "rename", "add", "wrap"]
    if (isinstance(value, dict) and value) or (isinstance(value, list) and value):
        kinds += ["inside"] * 8
    match draw(st.sampled_from(kinds)):
        case "value":
            own = likely.get(name)
            return {**doc, name: draw(VALUES if own is None else st.one_of(own, own, VALUES))}
        case "delete":
            return {key: one for key, one in doc.items() if key != name}
        case "rename":
            other = name[:1].upper() + name[1:] if isinstance(name, str) else "renamed"
            return {other if key == name else key: one for key, one in doc.items()}
        case "add":
            return {**doc, draw(NAMES.filter(lambda new: new != "_id")): draw(VALUES)}
        case "wrap":
            return {**doc, name: draw(st.sampled_from([[value], {"v": value}]))}
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        one = value[at]
        new = draw(_changed(one, likely) if isinstance(one, dict) else VALUES)
        return {**doc, name: [*value[:at], new, *value[at + 1 :]]}
    return {**doc, name: draw(_changed(value, likely))}
