"""`DAYBOOK_LEDGER_PROFILE` must name a profile, or no run would export what the ledger books."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybook.app import App
from daybook.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
ENV = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/",
    "DAYBOOK_DESTINATION": "file:///tmp",
    "DAYBOOK_LEDGER_PROFILE": "wallets",
}


def test_a_profile_that_does_not_exist_is_a_fault_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"DAYBOOK_LEDGER_PROFILE.*'wallets'.*'daily'"):
        App.from_env(ENV)
    assert App.from_env({**ENV, "DAYBOOK_LEDGER_PROFILE": "daily"}).settings.ledger_profile


def test_neither_function_starts_with_it() -> None:
    others = {name: text for name, text in os.environ.items() if "DAYBOOK" not in name}
    ended = subprocess.run(
        [sys.executable, "main.py"],
        cwd=ROOT,
        env={**others, **ENV},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Daybook cannot start" in ended.stderr
    assert "DAYBOOK_LEDGER_PROFILE" in ended.stderr
