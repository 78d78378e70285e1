"""The entry points can be imported on every Python that the tests run on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_functions_can_be_imported_from_the_settings_they_require() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import main; print(main.daybook.__name__, main.ledger.__name__)"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/",
            "DAYBOOK_DESTINATION": "file:///tmp",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout == "daybook ledger\n"
