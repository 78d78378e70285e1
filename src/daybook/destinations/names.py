"""Names that become part of a path or key."""

from __future__ import annotations

from daybook.errors import DestinationRefused, IdInvalid

_FORBIDDEN = frozenset("/\\\0")
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def require_plain_name(name: str) -> None:
    """Raise `DestinationRefused` for a name that could leave its folder or be hidden."""
    if not name or name.startswith(".") or _FORBIDDEN & set(name):
        raise DestinationRefused(
            f"file name {name!r} refused: it must not be empty, begin with a dot, "
            "or contain / \\ or NUL"
        )


def require_plain_id(file_id: str) -> None:
    """Raise `IdInvalid` for an id that could not have come from `new_id`."""
    if not file_id or not set(file_id) <= _ID_CHARACTERS:
        raise IdInvalid(f"file id {file_id!r} is not one that was issued here")
