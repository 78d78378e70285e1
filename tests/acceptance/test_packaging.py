"""Installing Daybook as a package: the command, its version and its requirements."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from daybook import __version__
from tests import pages
from tests.acceptance.test_archive import archived

PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "requirements.in", "requirements.txt", "src")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGED, "main.py"):
        if (pages.ROOT / name).is_dir():
            unbuilt = shutil.ignore_patterns("*.egg-info", "__pycache__", "build")
            shutil.copytree(pages.ROOT / name, folder / name, ignore=unbuilt)
        else:
            shutil.copy(pages.ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def site(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `pip install .` put the package; its requirements are this Python's."""
    folder = tmp_path_factory.mktemp("site")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", folder, "."],
        cwd=checkout,
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def installed(site: Path) -> Distribution:
    (found,) = distributions(name="daybook", path=[str(site)])
    return found


def test_the_package_has_the_version_of_the_code(installed: Distribution) -> None:
    assert installed.version == __version__ != "0.0.0"


def test_the_package_requires_what_the_functions_are_deployed_with(
    installed: Distribution,
) -> None:
    lines = (pages.ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    direct = {str(Requirement(line)) for line in lines if not line.startswith("#")}
    assert set(installed.requires or ()) == direct
    assert len(direct) > 10


def test_the_command_is_installed_and_says_its_name(site: Path) -> None:
    def run(*args: str) -> str:
        command = [sys.executable, site / "bin" / "daybook", *args]
        return subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"},
        ).stdout

    assert run("--version") == f"daybook, version {__version__}\n"
    assert re.match(r"Usage: daybook \[OPTIONS\] COMMAND", run("--help"))
    assert run("run", "--help").startswith("Usage: daybook run ")


def test_every_module_and_the_marker_of_types_are_packaged(site: Path, checkout: Path) -> None:
    def files(root: Path) -> set[str]:
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return {path for path in found if "__pycache__" not in path}

    assert files(site / "daybook") == files(checkout / "src" / "daybook")
    assert "py.typed" in files(site / "daybook")


def test_what_an_install_leaves_in_the_checkout_is_not_deployed(
    checkout: Path,
    site: Path,  # it has been installed from there
) -> None:
    assert archived(checkout) == archived()
    for leftover in ("src/daybook.egg-info/PKG-INFO", "src/build/lib/daybook/app.py"):
        (checkout / leftover).parent.mkdir(parents=True, exist_ok=True)
        (checkout / leftover).touch()
    assert archived(checkout) == archived()
