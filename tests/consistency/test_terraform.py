"""Every Terraform folder is formatted, valid, and passes its own tests.

Checked by tfcheck, which is beside the checkout where no provider registry can be
reached. Anywhere else `make terraform-test` does the same with the real providers.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import pages
from tests.consistency.planning import TERRAFORM_ENV, copy_checkout

TFCHECK = pages.ROOT.parent / "shared" / "tools" / "tfcheck"
TERRAFORM = pages.ROOT / "terraform"
FOLDERS = sorted(
    str(path.parent.relative_to(TERRAFORM)) for path in TERRAFORM.glob("**/versions.tf")
)
SECONDS = 280
"""Of one folder; the slowest took 70 on two cores that others used, too."""


def missing(requirements: Path) -> Iterator[str]:
    """The lines of a requirements file that this environment does not meet."""
    for line in requirements.read_text(encoding="utf-8").split():
        requirement = Requirement(line)
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield line
        else:
            if version not in requirement.specifier:
                yield line


def shared_by_workers(factory: pytest.TempPathFactory) -> Path:
    """A folder of this run; each of several workers has a temporary folder in it."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tfcheck(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that checks a folder."""
    if not TFCHECK.is_dir():
        pytest.skip("no tfcheck beside the checkout: make terraform-test")
    if shutil.which("terraform") is None:
        if os.environ.get("CI"):
            pytest.fail("tfcheck is there, but terraform is missing in CI")
        pytest.skip("terraform is not installed")
    packages = shared_by_workers(tmp_path_factory) / "tfcheck"
    needed = list(missing(TFCHECK / "requirements.txt"))
    with packages.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if needed and not packages.exists():
            pip = (sys.executable, "-m", "pip", "install", "--quiet", "--target", f"{packages}.new")
            subprocess.run([*pip, *needed], check=True, timeout=120)
            Path(f"{packages}.new").rename(packages)
    path = f"import sys; sys.path[:0] = [{str(packages)!r}, {str(TFCHECK)!r}]"
    return [sys.executable, "-c", f"{path}; import tfcheck; sys.exit(tfcheck.main())", "check"]


def test_every_folder_with_terraform_code_is_checked() -> None:
    holding = {path.parent for path in TERRAFORM.rglob("*.tf") if ".terraform" not in path.parts}
    assert {TERRAFORM / folder for folder in FOLDERS} == holding
    assert {"bootstrap", "environment"} < set(FOLDERS)


def blocks(folder: str, opening: str) -> dict[str, str]:
    """Of a folder's files: label → what is in the blocks that begin so."""
    files = sorted((TERRAFORM / folder).glob("*.tf"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    found = re.findall(rf'^{opening} "(\w+)" \{{\n(.*?)^\}}', text, re.MULTILINE | re.DOTALL)
    assert found, opening
    return dict(found)


def test_the_deployer_can_grant_what_the_modules_grant_on_the_project_and_no_more() -> None:
    """Else a pipeline's apply is refused, or more is open than needed."""
    folders = [folder for folder in FOLDERS if folder.startswith("modules/")]
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((TERRAFORM / folder).glob("*.tf"))
    )
    on_project = re.findall(r"google_project_iam_(\w+)\" \"", text)
    assert set(on_project) == {"member"}  # the others would take away what others granted
    members = blocks("modules/export-function", 'resource "google_project_iam_member"')
    assert len(members) == len(on_project)
    granted = {role for body in members.values() for role in re.findall(r'"(roles/[\w.]+)"', body)}
    (listed,) = re.findall(
        r"grantable_roles = \[([^]]+)\]", (TERRAFORM / "bootstrap" / "deployer.tf").read_text()
    )
    assert granted == set(re.findall(r'"(roles/[\w.]+)"', listed))


@pytest.mark.parametrize("kind", ["google_compute_network", "google_compute_subnetwork"])
def test_the_network_goes_only_after_the_functions_have_let_go_of_it(kind: str) -> None:
    """Without it Terraform deletes a subnet that is in use, and never gets to the functions."""
    body = blocks("modules/export-function", f'resource "{kind}"')["default"]
    assert re.search(r"lifecycle \{\s+create_before_destroy = true\s+\}", body)


def test_the_functions_wait_until_their_rights_are_known() -> None:
    for body in blocks(
        "modules/export-function", 'resource "google_cloudfunctions2_function"'
    ).values():
        assert "depends_on = [time_sleep.propagation]" in body
    waits = blocks("modules/export-function", 'resource "time_sleep"')["propagation"]
    for grant in ("build", "default", "ledger", "runtime"):
        assert re.search(rf"^    google_\w+\.{grant},$", waits, re.MULTILINE), grant


def test_the_state_cannot_be_destroyed() -> None:
    body = blocks("bootstrap", 'resource "google_storage_bucket"')["state"]
    assert re.search(r"lifecycle \{\s+prevent_destroy = true\s+\}", body)
    assert "force_destroy" not in body


def test_make_checks_the_same_folders() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "terraform-test"],
        check=True,
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}},
    )
    assert re.findall(r"terraform (?:-chdir=\S+ )?(fmt|init|validate|test)\b", told.stdout) == [
        *("fmt", "init", "validate", "test"),
    ]
    assert set(re.findall(r"terraform/(\S+)/(?=[ ;])", told.stdout)) == set(FOLDERS)


@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_passes(folder: str, tfcheck: list[str], tmp_path: Path) -> None:
    # The module's tests choose the source to archive; the environment's archive all that is there.
    terraform = copy_checkout(tmp_path) if folder == "environment" else TERRAFORM
    checked = subprocess.run(
        [*tfcheck, str(terraform / folder)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **TERRAFORM_ENV},
    )
    assert checked.returncode == 0, checked.stdout
    assert re.search(r"Success! [1-9][0-9]* passed, 0 failed\.", checked.stdout), checked.stdout
