"""Prometheus' own tool accepts the page and the rules that docs/metrics.md offers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.export.model.profile import Profile
from daybook.mongo.client import connect
from daybook.ops.metrics.metrics import Measured, render
from daybook.settings.settings import Settings
from tests import pages

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)


def promtool(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no promtool in CI: install Debian's package prometheus")
        pytest.skip("no promtool here (Debian: apt-get install prometheus)")
    return subprocess.run(
        [program, *arguments], input=given, capture_output=True, check=False, timeout=60
    )


@pytest.mark.parametrize("names", [("daily",), ("daily", "sales")])
def test_the_page_passes_without_a_remark(
    mongo_uri: str, database: Database[dict[str, Any]], names: tuple[str, ...]
) -> None:
    database["exportbatches"].insert_one(
        {
            "profile": "daily",
            "batchDate": "2026-01-17",
            "state": "committed",
            "generation": 1,
            "attempt": 1,
            "startedAt": NOW,
            "committedAt": NOW,
            "errorCounts": {'odd "type"\n': 1},
        }
    )
    settings = Settings.from_env(
        {"DAYBOOK_MONGODB_URI": mongo_uri, "DAYBOOK_DESTINATION": "file:///srv/books"}
    )
    with connect(settings) as client:
        _, page = render(
            client[database.name],
            [
                Measured(
                    profile=Profile(name=name), destination="google_drive", breaker="google_drive"
                )
                for name in names
            ],
            now=NOW,
        )
    assert b"daybook_mongodb_pool_open_connections{" in page

    checked = promtool("check", "metrics", given=page)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    worse = page.replace(b"_entries gauge", b"_entries counter")
    assert promtool("check", "metrics", given=worse).returncode != 0


def test_the_rules_can_be_loaded(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.+?)```", pages.text_of("metrics.md"), re.DOTALL)
    rules = tmp_path / "rules.yml"
    rules.write_text(block, encoding="utf-8")
    checked = promtool("check", "rules", str(rules))
    assert checked.returncode == 0, checked.stderr.decode()
    assert b"8 rules found" in checked.stdout
