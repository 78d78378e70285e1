"""What a function's process imports before it can answer, and whether that is compiled already."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMAGE_TIME = 315_532_801  # one second into 1980, as buildpacks have it
NOT_AT_START = {
    "apprise": "sends messages",
    "boto3": "an S3 destination, or a secret of AWS",
    "botocore": "the same",
    "daybook.cli": "commands",
    "daybook.local": "the embedded MongoDB and the samples",
    "google.api_core": "a secret of Google",
    "google.auth": "Drive and Cloud Tasks",
    "google.cloud.logging": "tests alone: records are written without it",
    "google.cloud.secretmanager": "a secret of Google",
    "googleapiclient": "Drive",
    "grpc": "a secret of Google",
    "httplib2": "Drive",
    "python_calamine": "reading an xlsx file back",
    "requests": "uploads",
    "rich": "commands",
    "xlsxwriter": "a profile in xlsx",
}
"""Packages that take long to import → what they are imported for, when that is asked for."""


SETTINGS = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=none",
    "DAYBOOK_DESTINATION": "drive://folder",
}


@pytest.fixture(scope="module")
def started() -> dict[str, Any]:
    """A process that has imported `main`."""
    program = (
        "import gc, json, sys, main;"
        "print(json.dumps({'modules': list(sys.modules), 'collects': gc.isenabled()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**SETTINGS, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    state: dict[str, Any] = json.loads(done.stdout)
    return state


@pytest.mark.parametrize("name", NOT_AT_START)
def test_a_cold_start_does_not_import(name: str, started: dict[str, Any]) -> None:
    assert [one for one in started["modules"] if f"{one}.".startswith(f"{name}.")] == []


def test_garbage_is_collected_once_everything_is_imported(started: dict[str, Any]) -> None:
    assert started["collects"] is True


def test_a_deployed_function_finds_its_code_compiled(tmp_path: Path) -> None:
    """The buildpack compiles as here; then every file of the image gets one and the same time."""
    shutil.copytree(
        ROOT / "src" / "daybook",
        tmp_path / "daybook",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    compiling = {**os.environ, **_build_environment()}
    compiling.pop("PYTHONPYCACHEPREFIX", None)
    subprocess.run(
        [sys.executable, "-m", "compileall", "-f", "-q", "."],
        cwd=tmp_path,
        env=compiling,
        check=True,
    )
    for file in tmp_path.rglob("*"):
        os.utime(file, (IMAGE_TIME, IMAGE_TIME))
    done = subprocess.run(
        [sys.executable, "-v", "-c", "import daybook.log"],
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    own = [line for line in done.stderr.splitlines() if line.startswith("# code object from")]
    own = [line for line in own if str(tmp_path) in line]
    assert len(own) > 1
    assert [line for line in own if ".pyc" not in line] == []


def _build_environment() -> dict[str, str]:
    """The variables that Terraform gives to each build."""
    text = (ROOT / "terraform" / "modules" / "export-function" / "source.tf").read_text()
    (block,) = re.findall(r"build_environment = \{(.*?)\}", text, re.DOTALL)
    return dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', block))
