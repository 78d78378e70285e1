"""The declaration of a setting: environment variable, parser, default and description."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_KEY = "variable"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable, and the field of `Settings` that it fills."""

    name: str
    field: str = ""
    parse: Callable[[str], Any]
    description: str
    default: str | None = None
    """The default's text in the environment; None: unset."""
    example: str = ""
    required: bool = False
    empty_is_unset: bool = True
    """False: an empty value is an error, since unset grants more access than any value would."""
    secret: bool = False
    """True when the value must never be shown."""


def setting(name: str, *, unset: Any = None, **declared: Any) -> Any:
    """A dataclass field that the variable `name` fills; `declared` are fields of `Variable`.

    Without the variable the field holds its parsed default, or `unset`, which must be
    immutable, when it has none.
    """
    variable = Variable(name=name, **declared)
    metadata = {_KEY: variable}
    if variable.required:
        return dataclasses.field(repr=not variable.secret, metadata=metadata)

    def default() -> Any:
        return unset if variable.default is None else variable.parse(variable.default)

    return dataclasses.field(default_factory=default, repr=not variable.secret, metadata=metadata)


def variables_of(settings: type) -> tuple[Variable, ...]:
    """The variables of a dataclass whose fields are all settings, in the order of the fields."""
    return tuple(
        dataclasses.replace(field.metadata[_KEY], field=field.name)
        for field in dataclasses.fields(settings)
    )
