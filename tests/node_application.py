"""The Node application whose entries Daybook exports, with the real mongoose and medici.

The first test that needs it installs what `node/package-lock.json` pins, once, into
`node/node_modules`. Without npm such a test is skipped, and fails when `CI` is set.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo.database import Database

FOLDER = Path(__file__).with_name("node")
_LOCKFILE = FOLDER / "package-lock.json"
_MODULES = FOLDER / "node_modules"
_INSTALLED = _MODULES / ".installed"
"""Holds the lockfile that the modules were installed from."""

Step = tuple[str, Mapping[str, Any]]


class NodeApplication:
    """Carries out steps of `node/application.js`, each call in a process of its own."""

    def __init__(self, node: str, uri: str, database: Database[dict[str, Any]]) -> None:
        self._node = node
        self._env = {"PATH": os.environ["PATH"], "MONGODB_URI": uri, "DATABASE": database.name}

    def does(self, *steps: Step) -> list[Any]:
        """What each step returned."""
        done = subprocess.run(
            [self._node, "application.js"],
            cwd=FOLDER,
            env=self._env,
            input=json_util.dumps(steps),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: list[Any] = json_util.loads(done.stdout)
        return found


def installed() -> str:
    """The path of node, once the modules are there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        if os.environ.get("CI"):
            pytest.fail("no node or npm in CI: install nodejs and npm")
        pytest.skip("no node or npm here")
    # Several workers of pytest may come at once.
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _LOCKFILE.read_text()
        if not _INSTALLED.exists() or _INSTALLED.read_text() != wanted:
            subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=FOLDER,
                check=True,
                timeout=300,
                capture_output=True,
            )
            _INSTALLED.write_text(wanted)
    return node
