"""Cloud Build's files hang together, and the smoke test says whether a deployment works."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import pages

PLAN, APPLY = "cloudbuild.yaml", "cloudbuild-apply.yaml"
BUILT_IN = {"PROJECT_ID", "COMMIT_SHA"}
"""https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values"""
SMOKE = pages.ROOT / "ops" / "smoke.sh"


def build(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((pages.ROOT / name).read_text(encoding="utf-8"))
    return found


def steps(name: str) -> dict[str, Mapping[str, Any]]:
    listed = build(name)["steps"]
    found = {step["id"]: step for step in listed}
    assert len(found) == len(listed), "two steps of one id"
    return found


def needed_by(name: str, step: str) -> set[str]:
    """The steps that have to succeed before one begins."""
    direct = set(steps(name)[step]["waitFor"]) - {"-"}
    return direct.union(*(needed_by(name, other) for other in direct))


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


@pytest.mark.parametrize("name", [PLAN, APPLY])
def test_every_step_has_an_id_a_pinned_image_and_waits_for_steps_before_it(name: str) -> None:
    before: set[str] = {"-"}
    for id_, step in steps(name).items():
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+(-\w+)?", step["name"]), step["name"]
        # Without one it would wait for all before it, which nobody sees.
        assert step["waitFor"], id_
        assert set(step["waitFor"]) <= before, id_
        before.add(id_)


@pytest.mark.parametrize("name", [PLAN, APPLY])
def test_every_substitution_is_known_and_used(name: str) -> None:
    found = build(name)
    own = found["substitutions"]
    used = {word for text in texts(dict(found)) for word in re.findall(r"\$\{?(\w+)\}?", text)}
    assert used == set(own) | (used & BUILT_IN)
    assert found["options"]["dynamicSubstitutions"]  # one is made of another
    assert all(key.startswith("_") for key in own)


@pytest.mark.parametrize("name", [PLAN, APPLY])
def test_every_folder_and_script_of_a_step_exists(name: str) -> None:
    default = build(name)["substitutions"]["_ENVIRONMENT"]
    for step in steps(name).values():
        folder = step.get("dir", ".").replace("${_ENVIRONMENT}", default)
        assert (pages.ROOT / folder).is_dir()
        for script in re.findall(r"(?<!\S)(?:\.ci|ops)/\S+", " ".join(step.get("args", []))):
            assert (pages.ROOT / script).is_file()


def test_a_plan_is_made_only_when_all_checks_have_passed() -> None:
    assert needed_by(PLAN, "plan") == {"lint-types-tests", "terraform-test", "variables"}
    assert steps(PLAN)["lint-types-tests"]["args"] == [".ci/run"]
    (command,) = (text for text in steps(PLAN)["terraform-test"]["args"] if "make" in text)
    assert command.endswith("make terraform-test")


def test_what_is_applied_is_the_plan_of_the_same_commit_and_nothing_else() -> None:
    (kept,) = texts(build(PLAN)["artifacts"]["objects"]["location"])
    paths = build(PLAN)["artifacts"]["objects"]["paths"]
    fetched = steps(APPLY)["fetch-plan"]["args"]
    assert kept.endswith("/${COMMIT_SHA}/")
    assert f"{kept}plan.tgz" in fetched
    assert fetched[-1] in paths
    assert {path.rsplit("/", 1)[1] for path in paths} == {"plan.txt", "plan.tgz"}
    commands = [line for text in texts(list(steps(APPLY).values())) for line in text.splitlines()]
    applied = [line for line in commands if "terraform apply" in line]
    assert [line.split()[-1] for line in applied] == ["plan.tfplan"]
    assert not [line for line in commands if "auto-approve" in line or "terraform plan" in line]
    assert not [text for text in texts(build(PLAN)["steps"]) if "terraform apply" in text]


def test_the_archive_that_is_applied_is_the_one_that_was_planned() -> None:
    (script,) = (text for text in steps(PLAN)["plan"]["args"] if "tar" in text)
    source = (pages.ROOT / "terraform/modules/export-function/source.tf").read_text()
    (path,) = re.findall(r'output_path += "\$\{path\.root\}/(\S+)"', source)
    assert path.replace("${var.name}", "daybook") in script


def test_the_smoke_test_comes_last() -> None:
    assert needed_by(APPLY, "smoke-test") == {"fetch-plan", "apply"}
    assert list(steps(APPLY))[-1] == "smoke-test"


@pytest.mark.parametrize(
    ("codes", "ended"), [((0,), 0), ((1, 0), 0), ((1, 1), 1)], ids=["works", "second", "broken"]
)
def test_the_smoke_test_is_made_twice_at_most(
    tmp_path: Path, codes: tuple[int, ...], ended: int
) -> None:
    """A new instance may find no network for a minute."""
    option, script = steps(APPLY)["smoke-test"]["args"]
    (tmp_path / "ops").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "bin" / "sleep").chmod(0o755)
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes), encoding="utf-8")
    (tmp_path / "ops" / "smoke.sh").write_text(
        'echo "$@" >> calls\nexit "$(sed -n "$(wc -l < calls)p" codes)"\n', encoding="utf-8"
    )
    for name, value in (("PROJECT_ID", "my-project"), ("_REGION", "asia-southeast1")):
        script = script.replace(f"${{{name}}}", value)
    told = subprocess.run(
        ["bash", option, script],
        check=False,
        cwd=tmp_path,
        timeout=60,
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
    )
    assert told.returncode == ended
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert calls == ["my-project asia-southeast1"] * len(codes)


def test_how_to_approve_and_to_roll_back_is_said() -> None:
    assert "--require-approval" in (pages.ROOT / PLAN).read_text(encoding="utf-8")
    told = (pages.ROOT / APPLY).read_text(encoding="utf-8")
    assert "To roll back:" in told
    assert "gcloud run services update-traffic daybook" in told


# The smoke test, with a gcloud that answers what it is told

GCLOUD = """#!/bin/sh
echo "$@" >> "$FAKE/calls"
case "$*" in
  "scheduler jobs describe daybook-probe"*) exit "$PROBE" ;;
  "scheduler jobs run "*) exit 0 ;;
  "logging read "*AttemptFinished*"httpRequest.status"*)
    case "$*" in *daybook-probe*) echo "$PROBE_SAYS" ;; *dry-run*) echo "$DRY_RUN_SAYS" ;;
    *) echo 200 ;; esac ;;
  "logging read "*examined*jsonPayload.status*) echo "$DOCTOR_SAYS" ;;
  "logging read "*examined*jsonPayload.message*) echo "clock: 7.2 s behind" ;;
  *) echo "unknown: $*" >&2; exit 64 ;;
esac
"""


def smoke(folder: Path, **answers: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    fake = folder / "gcloud"
    fake.write_text(GCLOUD, encoding="utf-8")
    fake.chmod(0o755)
    ended = subprocess.run(
        ["bash", SMOKE, "my-project", "asia-southeast1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "FAKE": str(folder),
            "PROBE": "0",
            "PROBE_SAYS": "200",
            "DRY_RUN_SAYS": "200",
            "DOCTOR_SAYS": "ok",
            "SMOKE_SECONDS": "0",
            "SMOKE_PAUSE_SECONDS": "0",
            **answers,
        },
    )
    calls = (folder / "calls").read_text(encoding="utf-8").splitlines()
    return ended, [line.split()[3] for line in calls if line.startswith("scheduler jobs run")]


def test_a_deployment_that_works_passes(tmp_path: Path) -> None:
    ended, forced = smoke(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert forced == ["daybook-probe", "daybook-dry-run", "daybook-doctor"]
    assert ended.stdout.splitlines()[-1] == "doctor: ok"


def test_without_a_probe_the_rest_is_asked(tmp_path: Path) -> None:
    ended, forced = smoke(tmp_path, PROBE="1")
    assert ended.returncode == 0, ended.stderr
    assert forced == ["daybook-dry-run", "daybook-doctor"]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"PROBE_SAYS": "503"}, "daybook-probe: 503"),
        ({"DRY_RUN_SAYS": "500"}, "daybook-dry-run: 500"),
        ({"DRY_RUN_SAYS": ""}, "no record within 0 s"),
        ({"DOCTOR_SAYS": "not_ok"}, "clock: 7.2 s behind"),
        ({"DOCTOR_SAYS": ""}, "no record within 0 s"),
    ],
)
def test_a_deployment_that_does_not_work_fails_and_says_where(
    tmp_path: Path, answers: dict[str, str], told: str
) -> None:
    ended, _ = smoke(tmp_path, **answers)
    assert ended.returncode == 1
    assert told in ended.stdout + ended.stderr
