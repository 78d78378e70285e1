"""Plans of terraform/environment, by tfcheck's stand-ins for the providers and without a bucket."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
TERRAFORM_ENV = {"GOGC": "off", "GOMEMLIMIT": "500MiB", "TF_CLI_ARGS": "-no-color"}
"""Terraform takes up to a third less time when it collects garbage only near that limit."""


SOME_OF_THE_SOURCE = ("main.py", "requirements.txt", "src/daybook/__init__.py")
_APART = shutil.ignore_patterns(".terraform", "*.tfstate*", "__pycache__")


def copy_checkout(folder: Path) -> Path:
    """What Terraform reads of the repository; returns the copy of `terraform`.

    It has some files of the source: Terraform spends five seconds of a core on each plan with an
    archive of all of them. `modules/export-function/tests/function.tftest.hcl` plans with the
    whole source.
    """
    shutil.copytree(pages.ROOT / "terraform", folder / "terraform", ignore=_APART)
    for name in SOME_OF_THE_SOURCE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pages.ROOT / name, folder / name)
    return folder / "terraform"


@contextmanager
def stand_ins(tfcheck: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """The environment in which Terraform finds tfcheck's providers, which start once for it."""
    tell = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [*tfcheck[:-1], "run", sys.executable, "-c", tell],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as providers:
        assert providers.stdout is not None
        yield {**json.loads(providers.stdout.readline()), **TERRAFORM_ENV}


class Planner:
    """A copy of the checkout in which the environment can be planned."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.env = env
        self.root = copy_checkout(folder) / "environment"
        (self.root / "backend.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        self.must("init", "-input=false")

    def terraform(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", f"-chdir={self.root}", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=self.env,
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
