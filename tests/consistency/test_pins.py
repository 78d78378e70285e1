"""The pipeline refuses what is not pinned, and `make pin` pins it.

Images are looked up in a registry on this machine, providers in a folder: Terraform takes the
checksums of archives from a mirror as it takes them from its own registry.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests import pages
from tests.emulators.registry import Registry, registry

ROOTS = sorted(
    str(path.parent.relative_to(pages.ROOT / "terraform"))
    for path in (pages.ROOT / "terraform").glob("**/versions.tf")
    if ".terraform" not in path.parts
)
LOCK = ".terraform.lock.hcl"
DIGEST = f"sha256:{'ab' * 32}"
LOCKED = f"""provider "registry.terraform.io/hashicorp/google" {{
  version = "7.45.0"
  hashes = [
    "zh:{"ab" * 32}",
  ]
}}
"""
PROVIDERS = {"archive": "2.8.0", "google": "7.45.0", "time": "0.14.0"}
PLATFORMS = ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64")


def git(checkout: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(checkout), *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean checkout of what `make pin` reads, nothing in it pinned."""
    root = tmp_path / "checkout"
    shutil.copytree(
        pages.ROOT / "terraform",
        root / "terraform",
        ignore=shutil.ignore_patterns(".terraform", LOCK, "*.tfstate*"),
    )
    shutil.copytree(pages.ROOT / "ops", root / "ops")
    for build in pages.ROOT.glob("cloudbuild*.yaml"):
        text = build.read_text(encoding="utf-8")
        (root / build.name).write_text(re.sub(r"@sha256:[0-9a-f]{64}", "", text), encoding="utf-8")
    git(root, "init", "-q")
    git(root, "add", "--all")
    return root


@pytest.fixture
def pinned(checkout: Path) -> Path:
    """The same with everything pinned and tracked."""
    for build in checkout.glob("cloudbuild*.yaml"):
        text = build.read_text(encoding="utf-8")
        build.write_text(re.sub(r"( name: \S+)", rf"\1@{DIGEST}", text), encoding="utf-8")
    for folder in ROOTS:
        (checkout / "terraform" / folder / LOCK).write_text(LOCKED, encoding="utf-8")
    git(checkout, "add", "--all")
    return checkout


def check(checkout: Path) -> subprocess.CompletedProcess[str]:
    """As the pipeline's step does it: a bare Python, no package."""
    command = [sys.executable, "-I", "-S", "ops/pin.py", "--check"]
    return subprocess.run(
        command, check=False, cwd=checkout, capture_output=True, text=True, timeout=60
    )


def test_a_checkout_with_everything_pinned_passes(pinned: Path) -> None:
    told = check(pinned)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_the_check_is_what_the_builds_run_first() -> None:
    for name in ("cloudbuild-check.yaml", "cloudbuild.yaml"):
        first = yaml.safe_load((pages.ROOT / name).read_text(encoding="utf-8"))["steps"][0]
        assert first["entrypoint"] == "python"
        assert first["args"] == ["ops/pin.py", "--check"]


def test_every_image_and_every_folder_that_is_not_pinned_is_named_with_the_command(
    checkout: Path,
) -> None:
    told = check(checkout)
    assert told.returncode == 1
    *sentences, command = told.stderr.splitlines()
    assert command == "Not pinned: run `make pin` and commit what it writes."
    images = {
        (build.name, step["name"])
        for build in checkout.glob("cloudbuild*.yaml")
        for step in yaml.safe_load(build.read_text(encoding="utf-8"))["steps"]
    }
    found = re.findall(r"^(\S+):\d+: the image (\S+) has no digest$", told.stderr, re.M)
    assert set(found) == images
    steps = [
        step
        for build in checkout.glob("cloudbuild*.yaml")
        for step in yaml.safe_load(build.read_text(encoding="utf-8"))["steps"]
    ]
    assert len(found) == len(steps)
    assert [s for s in sentences if LOCK in s] == [
        f"terraform/{folder}/{LOCK}: is missing, so any provider would be installed"
        for folder in ROOTS
    ]


def _replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(checkout: Path) -> None:
        text = (checkout / name).read_text(encoding="utf-8")
        assert old in text
        (checkout / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def _untrack(checkout: Path) -> None:
    git(checkout, "rm", "-q", "--cached", f"terraform/environment/{LOCK}")


@pytest.mark.parametrize(
    ("undo", "said"),
    [
        (_replace("cloudbuild-apply.yaml", f"@{DIGEST}", ""), "google-cloud-cli:528.0.0-slim has"),
        (_replace("cloudbuild.yaml", DIGEST, DIGEST[:-1]), "python:3.13.5-bookworm has no digest"),
        (_replace("cloudbuild.yaml", DIGEST, "latest"), "python:3.13.5-bookworm has no digest"),
        (
            lambda checkout: (checkout / "terraform/bootstrap" / LOCK).unlink(),
            f"terraform/bootstrap/{LOCK}: is missing",
        ),
        (
            lambda checkout: (checkout / "terraform/environment" / LOCK).write_text(""),
            f"terraform/environment/{LOCK}: has no checksum",
        ),
        (_untrack, f"terraform/environment/{LOCK}: is not tracked by git"),
    ],
    ids=["no digest", "short digest", "a tag for it", "no lock", "empty lock", "untracked lock"],
)
def test_one_thing_that_is_not_pinned_is_enough(
    pinned: Path, undo: Callable[[Path], object], said: str
) -> None:
    undo(pinned)
    told = check(pinned)
    assert told.returncode == 1
    assert said in told.stderr
    assert told.stderr.splitlines()[-1].startswith("Not pinned: run `make pin`")


def test_a_checkout_without_history_is_checked_by_what_is_there(pinned: Path) -> None:
    shutil.rmtree(pinned / ".git")
    assert check(pinned).returncode == 0


# make pin


@pytest.fixture
def images(checkout: Path) -> Iterator[Registry]:
    """A registry with the images of the checkout's builds, which name it in place of theirs."""
    with registry() as there:
        for build in checkout.glob("cloudbuild*.yaml"):
            text = build.read_text(encoding="utf-8")
            for tagged in set(re.findall(r" name: (\S+)", text)):
                there.tags[tagged] = f'{{"of": "{tagged}"}}'.encode()
                text = text.replace(f" name: {tagged}\n", f" name: {there.host}/{tagged}\n")
            build.write_text(text, encoding="utf-8")
        yield there


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Archives of the providers, for each platform with other bytes."""
    for name, version in PROVIDERS.items():
        folder = tmp_path / "mirror" / "registry.terraform.io" / "hashicorp" / name
        folder.mkdir(parents=True)
        for platform in PLATFORMS:
            path = folder / f"terraform-provider-{name}_{version}_{platform}.zip"
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(f"terraform-provider-{name}_v{version}", platform)
    return tmp_path / "mirror"


def pin(checkout: Path, mirror: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    return subprocess.run(
        [sys.executable, "ops/pin.py"],
        check=False,
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "TF_CLI_ARGS_providers_lock": f"-fs-mirror={mirror}",
            "CHECKPOINT_DISABLE": "1",
        },
    )


def test_what_make_pin_writes_passes_the_check(
    checkout: Path, images: Registry, mirror: Path
) -> None:
    before = {path.name: path.read_text() for path in checkout.glob("cloudbuild*.yaml")}
    told = pin(checkout, mirror)
    assert told.returncode == 0, told.stdout + told.stderr
    for build in checkout.glob("cloudbuild*.yaml"):
        text = build.read_text(encoding="utf-8")
        assert re.sub(r"@sha256:[0-9a-f]{64}", "", text) == before[build.name]
        for step in yaml.safe_load(text)["steps"]:
            tagged, _, digest = step["name"].removeprefix(f"{images.host}/").partition("@")
            assert digest == images.digest(tagged)
    for folder in ROOTS:
        text = (checkout / "terraform" / folder / LOCK).read_text(encoding="utf-8")
        locked = dict(re.findall(r'hashicorp/(\w+)" \{\s+version += "([^"]+)"', text))
        wanted = set(
            re.findall(
                r'source += "hashicorp/(\w+)"',
                (checkout / "terraform" / folder / "versions.tf").read_text(encoding="utf-8"),
            )
        )
        assert locked == {name: PROVIDERS[name] for name in wanted}
        assert text.count('"h1:') == len(PLATFORMS) * len(locked)
    assert "is not tracked by git" in check(checkout).stderr  # not before it is added
    git(checkout, "add", "--all")
    assert check(checkout).returncode == 0


def test_pinning_again_takes_what_the_tag_has_become(
    checkout: Path, images: Registry, mirror: Path
) -> None:
    assert pin(checkout, mirror).returncode == 0
    (tagged,) = (tag for tag in images.tags if tag.startswith("python:"))
    former = images.digest(tagged)
    images.tags[tagged] = b'{"rebuilt": true}'
    assert pin(checkout, mirror).returncode == 0
    text = (checkout / "cloudbuild.yaml").read_text(encoding="utf-8")
    assert f"{tagged}@{images.digest(tagged)}" in text
    assert former not in text


def test_every_folder_of_the_checks_takes_pinned_providers_and_no_others(
    checkout: Path, images: Registry, mirror: Path
) -> None:
    """What `make terraform-test` does in each folder under -lockfile=readonly."""
    config = mirror.parent / "terraformrc"
    config.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    )

    def init(folder: str) -> subprocess.CompletedProcess[str]:
        chdir = f"-chdir={checkout / 'terraform' / folder}"
        return subprocess.run(
            ["terraform", chdir, "init", "-backend=false", "-input=false", "-no-color"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **os.environ,
                "CHECKPOINT_DISABLE": "1",
                "TF_CLI_ARGS_init": "-lockfile=readonly",
                "TF_CLI_CONFIG_FILE": str(config),
            },
        )

    assert pin(checkout, mirror).returncode == 0
    for folder in ROOTS:
        told = init(folder)
        assert told.returncode == 0, f"{folder}: {told.stdout}{told.stderr}"
        shutil.rmtree(checkout / "terraform" / folder / ".terraform")
    for name in PROVIDERS:  # another build of the same version
        for path in (mirror / "registry.terraform.io" / "hashicorp" / name).iterdir():
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(f"terraform-provider-{name}", "forged")
    for folder in ROOTS:
        told = init(folder)
        assert told.returncode == 1
        assert "checksum" in told.stderr
    (checkout / "terraform" / "bootstrap" / LOCK).unlink()
    assert init("bootstrap").returncode == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda images: images.tags.clear(), "HTTP Error 404"),
        (lambda images: images.tags.pop(max(images.tags)), "HTTP Error 404"),
        (lambda images: setattr(images, "says", DIGEST), f"the registry says {DIGEST}"),
    ],
    ids=["no such tags", "one tag is gone", "another digest than its bytes have"],
)
def test_an_image_that_cannot_be_pinned_is_named_and_nothing_is_written(
    checkout: Path,
    images: Registry,
    mirror: Path,
    fault: Callable[[Registry], object],
    said: str,
) -> None:
    fault(images)
    before = {path: path.read_bytes() for path in checkout.glob("cloudbuild*.yaml")}
    told = pin(checkout, mirror)
    assert told.returncode == 1
    assert f"{images.host}/" in told.stderr
    assert said in told.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_providers_that_cannot_be_pinned_fail_the_command(
    checkout: Path, images: Registry, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    told = pin(checkout, tmp_path / "empty")
    assert told.returncode == 1
    assert "providers" in told.stderr


def test_make_pin_runs_it_with_the_terraform_that_make_was_given() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "pin", "TERRAFORM=/opt/terraform"],
        check=True,
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}},
    )
    assert 'TERRAFORM="/opt/terraform" .venv/bin/python ops/pin.py' in told.stdout
