"""The command `daybook` as `make` installs it: beside the Python that runs the tests."""

from __future__ import annotations

import sys
from pathlib import Path

DAYBOOK = str(Path(sys.executable).with_name("daybook"))
