"""What every unit test begins with."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _former_handlers() -> Iterator[None]:
    root = logging.getLogger()
    # A command that another test ran in this process sets logging up at its first record.
    root.handlers[:] = [
        one for one in root.handlers if not type(one).__module__.startswith("daybook.")
    ]
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
