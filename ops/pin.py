"""Pins what the pipeline runs: images by digest, Terraform's providers by checksum.

    make pin                    looks both up and writes them down, to be committed
    python3 ops/pin.py --check  exit code 1 when one is missing, with what and where; asks nobody

An image stays at its tag, and gets the digest that the tag has now: `name: IMAGE:TAG@sha256:…`
in `cloudbuild*.yaml`. Providers go to `.terraform.lock.hcl` in each Terraform folder, with
checksums for the platforms of a pipeline and of people.

Only the standard library: the check runs before any package is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

IMAGE = re.compile(r"^(?P<before> *(?:- )?name: )(?P<tagged>[^\s@]+)(?:@(?P<digest>\S+))?$", re.M)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHECKSUM = re.compile(r'^ +"(?:h1|zh):', re.M)
LOCK = ".terraform.lock.hcl"
PLATFORMS = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT_SECONDS = 30


class NotPinned(Exception):
    """A registry gave no digest; the message says which and why."""


def builds(root: Path) -> list[Path]:
    """The files of Cloud Build."""
    return sorted(root.glob("cloudbuild*.yaml"))


def folders(root: Path) -> list[Path]:
    """The Terraform folders that the pipeline initialises: to apply them, or to test a module."""
    return sorted(
        path.parent
        for path in (root / "terraform").glob("**/versions.tf")
        if ".terraform" not in path.parts
    )


def missing(root: Path) -> Iterator[str]:
    """What is not pinned, a sentence each."""
    for build in builds(root):
        text = build.read_text(encoding="utf-8")
        for found in IMAGE.finditer(text):
            if not DIGEST.fullmatch(found["digest"] or ""):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{build.name}:{line}: the image {found['tagged']} has no digest"
    for folder in folders(root):
        path = (folder / LOCK).relative_to(root)
        if not (root / path).is_file():
            yield f"{path}: is missing, so any provider would be installed"
        elif not CHECKSUM.search((root / path).read_text(encoding="utf-8")):
            yield f"{path}: has no checksum of a provider"
        elif not _tracked(root, path):
            yield f"{path}: is not tracked by git, so a pipeline does not get it"


def pin_images(root: Path) -> None:
    """Writes the digest that each tag has now into the build files.

    Raises `NotPinned` before anything is written.
    """
    texts = {build: build.read_text(encoding="utf-8") for build in builds(root)}
    tags = sorted({found["tagged"] for text in texts.values() for found in IMAGE.finditer(text)})
    digests = {tagged: digest_of(tagged) for tagged in tags}
    for tagged, digest in digests.items():
        print(f"{tagged}@{digest}")  # noqa: T201  (a command's output)
    for build, text in texts.items():
        pinned = IMAGE.sub(lambda m: f"{m['before']}{m['tagged']}@{digests[m['tagged']]}", text)
        build.write_text(pinned, encoding="utf-8")


def pin_providers(root: Path, terraform: str) -> None:
    """Writes the providers' checksums of every Terraform folder."""
    platforms = [f"-platform={platform}" for platform in PLATFORMS]
    for folder in folders(root):
        chdir = f"-chdir={folder}"
        subprocess.run([terraform, chdir, "get"], check=True)  # noqa: S603  (Terraform itself)
        subprocess.run([terraform, chdir, "providers", "lock", *platforms], check=True)  # noqa: S603


def digest_of(tagged: str) -> str:
    """The digest of an image's manifest, or of the index of its platforms.

    Speaks https://distribution.github.io/distribution/spec/api/; over HTTP with this machine,
    as Docker does, else over HTTPS. Raises `NotPinned`.
    """
    name, _, tag = tagged.rpartition(":")
    registry, _, repository = name.partition("/")
    if not name or "/" in tag:
        raise NotPinned(f"{tagged}: the image has no tag to look up")
    if not repository or not re.search(r"[.:]", registry):
        registry, repository = "registry-1.docker.io", name if "/" in name else f"library/{name}"
    scheme = "http" if re.fullmatch(r"(localhost|127\.0\.0\.1)(:\d+)?", registry) else "https"
    url = f"{scheme}://{registry}/v2/{repository}/manifests/{tag}"
    try:
        body, headers = _get(url, {"Accept": ", ".join(MANIFESTS)})
    except (OSError, ValueError, KeyError) as error:
        raise NotPinned(f"{tagged}: {url}: {error}") from error
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    told = headers.get("Docker-Content-Digest", digest)
    if told != digest:
        raise NotPinned(f"{tagged}: the registry says {told}, but what it sent is {digest}")
    return digest


def _get(url: str, headers: dict[str, str]) -> tuple[bytes, Message]:
    """Body and headers, with an anonymous token where the registry asks for one."""
    try:
        return _open(url, headers)
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        if error.code != 401 or not challenge.startswith("Bearer "):
            raise
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urllib.parse.urlencode({k: v for k, v in fields.items() if k in {"service", "scope"}})
    answer = json.loads(_open(f"{fields['realm']}?{query}", {})[0])
    token = answer.get("token") or answer["access_token"]
    return _open(url, headers | {"Authorization": f"Bearer {token}"})


def _open(url: str, headers: dict[str, str]) -> tuple[bytes, Message]:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"neither HTTP nor HTTPS: {url}")
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (checked above)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        return answer.read(), answer.headers


def _tracked(root: Path, path: Path) -> bool:
    """Whether git has the file; true where the checkout came without its history."""
    if not (root / ".git").exists():
        return True
    listed = subprocess.run(  # noqa: S603
        ["git", "-C", str(root), "-c", f"safe.directory={root}", "ls-files", "--", str(path)],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    return bool(listed.stdout)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="look, and change nothing")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    if not arguments.check:
        try:
            pin_images(root)
            pin_providers(root, os.environ.get("TERRAFORM", "terraform"))
        except NotPinned as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        except subprocess.CalledProcessError as error:
            print(f"{error}: see above", file=sys.stderr)  # noqa: T201
            return 1
        return 0
    found = list(missing(root))
    for sentence in found:
        print(sentence, file=sys.stderr)  # noqa: T201
    if found:
        print("Not pinned: run `make pin` and commit what it writes.", file=sys.stderr)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
