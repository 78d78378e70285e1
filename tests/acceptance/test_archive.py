"""The functions start from what Terraform deploys, and from nothing else.

The files that the archive would hold are copied to a folder of their own, and a Python that has
nothing but the packages in requirements.txt starts them as Cloud Run does. Their files are links
to the ones that `make` installed, in these versions and with the hashes checked.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import requests
from packaging.requirements import Requirement

from tests import pages
from tests.ports import free_port

SOURCE_TF = pages.ROOT / "terraform" / "modules" / "export-function" / "source.tf"
START_SECONDS = 60.0
END_SECONDS = 15.0
"""Cloud Run kills after 10 s; the rest is for a busy machine."""


def archived(root: Path = pages.ROOT) -> list[str]:
    """The files that source.tf puts into the archive of a checkout, by its own rule."""
    source = SOURCE_TF.read_text(encoding="utf-8")
    (named,) = re.findall(r"source_files = concat\(\[([^]]+)\]", source)
    (pattern,) = re.findall(r'fileset\(local\.source_root, "([^"]+)"\)', source)
    (excluded,) = re.findall(r'!can\(regex\("([^"]+)", file\)\)', source)
    without = re.compile(excluded.replace("\\\\", "\\"))
    found = (path for path in root.glob(f"{pattern}/*") if path.is_file())
    names = (path.relative_to(root).as_posix() for path in found)
    return re.findall(r'"([^"]+)"', named) + sorted(n for n in names if not without.search(n))


def required() -> Iterator[Distribution]:
    """What this Python has of each line of requirements.txt that applies to it."""
    for line in (pages.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate():
                found = distribution(requirement.name)
                assert found.version in requirement.specifier, f"{line}: here is {found.version}"
                yield found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with what requirements.txt lists, and nothing else."""
    home = tmp_path_factory.mktemp("runtime")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for found in required():
        for file in found.files or ():
            if ".." not in file.parts:  # a program; it would start the Python that runs the tests
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                (packages / file).symlink_to(file.locate())
    return home / "bin"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the archive would be unpacked to."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in archived():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pages.ROOT / name, folder / name)
    return folder


@contextmanager
def started(python: Path, workspace: Path, target: str, mongo_uri: str) -> Iterator[str]:
    """The function's address. Its environment is what Cloud Run and Terraform give it."""
    port = free_port()
    log = workspace / f"{target}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [python / "python", "-m", "functions_framework"],
            cwd=workspace,
            env={
                "PATH": f"{python}:/usr/bin:/bin",
                "PORT": str(port),
                "FUNCTION_TARGET": target,
                "FUNCTION_SIGNATURE_TYPE": "http",
                "K_SERVICE": "daybook",
                "GOOGLE_CLOUD_PROJECT": "my-project",
                "DAYBOOK_MONGODB_URI": mongo_uri,
                "DAYBOOK_DESTINATION": "drive://1AbCdEfGhIjKlMnOpQrStUvWxYz012345",
            },
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            try:
                requests.get(f"{url}/health", timeout=START_SECONDS)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield url
        process.terminate()
        assert process.wait(END_SECONDS) == 0, log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_archive_holds_the_source_and_nothing_that_only_laptops_need() -> None:
    names = archived()
    assert {
        "main.py",
        "requirements.txt",
        "src/daybook/http/routes.py",
        "src/daybook/py.typed",
    } <= {*names}
    assert len(names) > 100
    laptop = ("src/daybook/local/", "tests/")
    apart = [name for name in names if name.startswith(laptop) or "__pycache__" in name]
    assert apart == []
    assert all(name.startswith("src/daybook/") for name in names[2:])


def test_both_functions_start_from_the_archive_and_answer(
    python: Path, workspace: Path, mongo_uri: str
) -> None:
    """In one test, since each worker would make the environment for itself."""
    told = subprocess.run(
        [python / "python", "-c", "import pytest"], check=False, capture_output=True, text=True
    )
    assert "No module named 'pytest'" in told.stderr
    for target in ("daybook", "ledger"):
        with started(python, workspace, target, mongo_uri) as url:
            answer = requests.get(f"{url}/health", timeout=30)
            assert answer.status_code == 200, answer.text
            assert answer.json()["status"] == "ok"
            assert requests.get(f"{url}/nothing", timeout=30).status_code == 404
