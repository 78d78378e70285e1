"""Plans of terraform/environment, by tfcheck's stand-ins for the providers and without a bucket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import pages

EXAMPLE = """\
environment         = "staging"
project_id          = "my-company-daybook-staging"
drive_folder_id     = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
notification_emails = ["operator@example.com"]
operators           = ["operator@example.com"]
paused              = true
static_egress       = true
"""
"""Variables as staging.tfvars has them until they are changed, which no test may depend on."""
SECONDS = 250


class Planner:
    """A copy of what Terraform reads of the repository."""

    def __init__(self, folder: Path, tfcheck: Sequence[str]) -> None:
        self.tfcheck = tfcheck
        self.root = folder / "terraform" / "environment"
        apart = shutil.ignore_patterns(".terraform", "*.tfstate*", "tests", "__pycache__")
        shutil.copytree(pages.ROOT / "terraform", folder / "terraform", ignore=apart)
        shutil.copytree(pages.ROOT / "src", folder / "src", ignore=apart)
        for name in ("main.py", "requirements.txt"):
            shutil.copy(pages.ROOT / name, folder)
        (self.root / "backend.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        self.must("init", "-input=false")

    def terraform(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.tfcheck[:-1], "run", "terraform", f"-chdir={self.root}", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "TF_CLI_ARGS": "-no-color"},
        )

    def must(self, *arguments: str) -> str:
        told = self.terraform(*arguments)
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    def plan(
        self, variables: str, *, state: Mapping[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """With the text of a .tfvars file, in a state or an empty one."""
        (self.root / "terraform.tfstate").unlink(missing_ok=True)
        if state is not None:
            (self.root / "terraform.tfstate").write_text(json.dumps(state))
        (self.root / "test.tfvars").write_text(variables, encoding="utf-8")
        return self.terraform("plan", "-input=false", "-var-file=test.tfvars", "-out=plan")

    def planned(
        self, variables: str, *, state: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The plan's changes of resources."""
        told = self.plan(variables, state=state)
        assert told.returncode == 0, told.stdout + told.stderr
        changes: list[dict[str, Any]] = json.loads(
            self.must("show", "-json", "plan").splitlines()[-1]
        )["resource_changes"]
        return changes
