"""How a profile writes rows: RFC 4180 with the profile's delimiter, line end and encoding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.rendering.cells.values import RejectedValue

Quote = Callable[[str], str]
"""Puts a cell in quotes if necessary."""

_ENCODINGS = ("utf-8-sig", "utf-8", "cp874")
_LINE_ENDS = ("\r\n", "\n")
# These start numbers and formulas, or are quotes themselves.
_NO_DELIMITERS = "\"'.=+-@ \r\n"
# By default LibreOffice splits cells at all three of them: a cell that contains one would be
# split, and the rest could start like a formula.
_SEPARATORS = ",;\t"


class Dialect:
    """Writes rows of one profile."""

    def __init__(self, profile: Profile) -> None:
        """Raises `ConfigurationError` for a profile that cannot produce a readable file."""
        delimiter = profile.delimiter
        if len(delimiter) != 1 or delimiter in _NO_DELIMITERS or delimiter.isalnum():
            raise _bad(profile, f"{delimiter!r} cannot be a delimiter")
        if profile.encoding not in _ENCODINGS:
            raise _bad(
                profile, f"encoding {profile.encoding!r} is not one of {', '.join(_ENCODINGS)}"
            )
        if profile.line_end not in _LINE_ENDS:
            raise _bad(profile, f"line end {profile.line_end!r} is neither CRLF nor LF")
        if not profile.columns:
            raise _bad(profile, "there are no columns")
        self._profile = profile
        special = {'"', *_SEPARATORS, delimiter}
        self._special = re.compile(f"[\r\n{re.escape(''.join(sorted(special)))}]")
        # `str.isprintable` finds the remaining ones.
        self._printable_special = tuple(sign for sign in special if sign.isprintable())
        # The byte order mark is written once, before the header.
        self._encoding = profile.encoding.removesuffix("-sig")
        self.is_sheet = profile.format is FileFormat.XLSX
        """Whether cells also go into a sheet: they are then quoted only in `rows`."""

    def quote(self, cell: str) -> str:
        return cell if self.is_sheet else self.quoted(cell)

    def quoted(self, cell: str) -> str:
        """The cell as `rows` writes it."""
        if self._special.search(cell) is None:
            return cell
        return '"' + cell.replace('"', '""') + '"'

    def all_plain(self, cells: list[str]) -> bool:
        """True when no cell needs quotes or contains a control character.

        Raises TypeError for a value that is not a string.
        """
        joined = "".join(cells)
        return joined.isprintable() and (
            self.is_sheet or not any(special in joined for special in self._printable_special)
        )

    def header(self, cells: Sequence[str]) -> bytes:
        """The header row, after the byte order mark if the encoding has one.

        Raises `ConfigurationError` for a title that the encoding cannot represent.
        """
        for cell in cells:
            if (unencodable := self.unencodable(cell)) is not None:
                raise _bad(self._profile, f"column title {cell!r}: {unencodable.why}")
        return self._text([[cell] for cell in cells]).encode(self._profile.encoding)

    def rows(self, columns: Sequence[Sequence[str]]) -> bytes:
        """Rows from columns of quoted cells. Raises UnicodeEncodeError."""
        return self._text(columns).encode(self._encoding)

    def unencodable(self, cell: str) -> RejectedValue | None:
        """The first character of a text that the encoding cannot represent, or None."""
        try:
            cell.encode(self._encoding)
        except UnicodeEncodeError as error:
            character = cell[error.start]
            code = f"U+{ord(character):04X}"
            which = f"{character} ({code})" if character.isprintable() else code
            why = f"not in {self._encoding}"
            if unicodedata.category(character) == "Cs":
                why = "half of a character or no UTF-8"
            return RejectedValue(
                RejectionReason.UNENCODABLE,
                f"character {error.start + 1} is {which}, {why}",
                value=which,
            )
        return None

    def _text(self, columns: Sequence[Sequence[str]]) -> str:
        rows: Iterable[str]
        if self.is_sheet:
            columns = [list(map(self.quoted, column)) for column in columns]
        if len(columns) == 1:
            # An empty line would not count as a row.
            rows = [cell or '""' for cell in columns[0]]
        else:
            rows = map(self._profile.delimiter.join, zip(*columns, strict=True))
        line_end = self._profile.line_end
        return line_end.join(rows) + line_end


def _bad(profile: Profile, fault: str) -> ConfigurationError:
    return ConfigurationError(f"profile {profile.name}: {fault}")
