"""Cloud Build's files hang together, and their steps refuse what they must refuse.

Each step is run as Cloud Build would run it, in a copy of the folders that it needs, between a
gcloud and a terraform that keep objects and plans in files.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import pages

CHECK, PLAN, APPLY = "cloudbuild-check.yaml", "cloudbuild.yaml", "cloudbuild-apply.yaml"
BUILDS = (CHECK, PLAN, APPLY)
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


@pytest.mark.parametrize("name", BUILDS)
def test_every_step_has_an_id_a_pinned_image_and_waits_for_steps_before_it(name: str) -> None:
    before: set[str] = {"-"}
    for id_, step in steps(name).items():
        image = r"[\w./-]+:\d+\.\d+\.\d+(-\w+)?(@sha256:[0-9a-f]{64})?"
        assert re.fullmatch(image, step["name"]), step["name"]
        # Without one it would wait for all before it, which goes unnoticed.
        assert step["waitFor"], id_
        assert set(step["waitFor"]) <= before, id_
        before.add(id_)


@pytest.mark.parametrize("name", BUILDS)
def test_every_substitution_is_known_and_used(name: str) -> None:
    found = build(name)
    own = found.get("substitutions", {})
    used = {word for text in texts(dict(found)) for word in re.findall(r"\$\{?(\w+)\}?", text)}
    assert used == set(own) | (used & BUILT_IN)
    assert found["options"].get("dynamicSubstitutions", False) == bool(own)  # one of another
    assert all(key.startswith("_") for key in own)


@pytest.mark.parametrize("name", BUILDS)
def test_every_folder_and_script_of_a_step_exists(name: str) -> None:
    for step in steps(name).values():
        folder = pages.ROOT / step.get("dir", ".")
        assert folder.is_dir()
        words = " ".join(step.get("args", []))
        for script in re.findall(r"(?<!\S)(?:\.\./)*(?:\.ci|ops)/\S+", words):
            assert (folder / script).resolve().is_file(), script


def triggers() -> dict[str, dict[str, str]]:
    """The commands at the top of cloudbuild.yaml: trigger → option → value."""
    text = (pages.ROOT / PLAN).read_text(encoding="utf-8").replace(" \\\n#", "")
    return {
        options["name"]: options
        for line in re.findall(r"^#   gcloud builds triggers create github (.+)$", text, re.M)
        for options in [dict(re.findall(r"--([\w-]+)(?:=(\S+))?", line))]
    }


def test_checks_have_no_rights_plans_read_and_only_the_apply_deploys() -> None:
    assert {
        name: (options["build-config"], re.findall(r"daybook-\w+@", options["service-account"])[0])
        for name, options in triggers().items()
    } == {
        "daybook-check": (CHECK, "daybook-checker@"),
        "daybook-pull-request": (CHECK, "daybook-checker@"),
        "daybook-plan": (PLAN, "daybook-planner@"),
        "daybook-apply": (APPLY, "daybook-deployer@"),
    }
    approved = {name for name, options in triggers().items() if "require-approval" in options}
    assert approved == {"daybook-apply"}
    # Without a branch pattern a trigger ignores pushes, without the other one pull requests.
    assert {name: options.get("branch-pattern") for name, options in triggers().items()} == {
        **dict.fromkeys(("daybook-check", "daybook-plan", "daybook-apply"), "'^main$'"),
        "daybook-pull-request": None,
    }
    asked = {name for name, options in triggers().items() if "pull-request-pattern" in options}
    assert asked == {"daybook-pull-request"}
    assert triggers()["daybook-pull-request"]["comment-control"] in {
        *("COMMENTS_ENABLED", "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"),
    }
    for name, options in triggers().items():
        own = set(build(options["build-config"]).get("substitutions", {})) - {"_STATE_BUCKET"}
        assert set(re.findall(r"(_\w+)=", options.get("substitutions", ""))) == own, name


def test_gcloud_knows_every_argument_of_the_triggers(tmp_path: Path) -> None:
    """It reads them before it looks for an account, and finds none here."""
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    text = (pages.ROOT / PLAN).read_text(encoding="utf-8").replace(" \\\n#", "")
    commands = re.findall(r"^#   (gcloud builds triggers create .+)$", text, re.M)
    assert len(commands) == len(triggers())
    for command in commands:
        told = subprocess.run(
            [*shlex.split(command), "--project=my-project"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "CLOUDSDK_CONFIG": str(tmp_path),
                "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
                "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            },
        )
        assert told.returncode == 1, told.stderr  # 2 is a wrong argument
        assert "do not currently have an active account" in told.stderr


def test_every_trigger_has_an_account_that_the_bootstrap_makes() -> None:
    bootstrap = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (pages.ROOT / "terraform/bootstrap").glob("*.tf")
    )
    for options in triggers().values():
        (key,) = re.findall(r"/daybook-(\w+)@", options["service-account"])
        assert f'account_id   = "${{var.name}}-{key}"' in bootstrap


def test_what_a_commit_contains_is_run_without_rights() -> None:
    """Its tests, installers and packages; with the planner's or the deployer's, only Terraform."""
    assert steps(CHECK)["lint-types-tests"]["args"] == [".ci/run"]
    assert steps(CHECK)["audit"]["args"] == ["audit"]
    (command,) = (text for text in steps(CHECK)["terraform-test"]["args"] if "make" in text)
    assert command.endswith("make terraform-test")
    for name in (PLAN, APPLY):
        told = "\n".join(texts(list(steps(name).values())))
        assert not re.findall(r"\b(?:make|pip|apk|apt-get|curl|\.ci)\b", told), name


def test_nothing_is_planned_or_tested_before_the_pins_are_checked() -> None:
    for name in (CHECK, PLAN):
        for id_ in steps(name):
            assert id_ == "pins" or "pins" in needed_by(name, id_), id_


def test_every_init_of_the_pipeline_keeps_to_the_checksums() -> None:
    assert steps(CHECK)["terraform-test"]["env"] == ["TF_CLI_ARGS_init=-lockfile=readonly"]
    for script in ("plan.sh", "apply.sh"):
        text = (pages.ROOT / "ops" / script).read_text(encoding="utf-8").replace("\\\n", "")
        (init,) = re.findall(r"^terraform init.*$", text, re.M)
        assert "-lockfile=readonly" in init


def test_the_archive_that_is_applied_is_the_one_that_was_planned() -> None:
    source = (pages.ROOT / "terraform/modules/export-function/source.tf").read_text()
    (path,) = re.findall(r'output_path += "\$\{path\.root\}/(\S+)"', source)
    for name in ("plan.sh", "apply.sh"):
        script = (pages.ROOT / "ops" / name).read_text(encoding="utf-8")
        (command,) = re.findall(r"^tar .*$", script, re.M)
        assert command.endswith(f"plan.tgz plan.tfplan {path.replace('${var.name}', 'daybook')}")


def test_the_smoke_test_comes_last() -> None:
    assert needed_by(APPLY, "smoke-test") == {"checked", "fetch-plan", "apply"}
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


# The steps themselves

STANDINS = {
    "gcloud": """#!/bin/sh
echo "gcloud $*" >> "$FAKE/calls"
case "$1 $2" in
  "builds triggers")
    case "$3 $4" in "describe daybook-check") echo 1d-of-the-check ;; *) exit 64 ;; esac
    exit ;;
  "builds list")
    case "$*" in *buildTriggerId=?1d-of-the-check*"$COMMIT"*SUCCESS*) cat "$FAKE/checked" ;; esac
    exit ;;
  "storage cp") shift 2 ;;
  *) echo "unknown: $*" >&2; exit 64 ;;
esac
new=
if [ "$1" = --if-generation-match=0 ]; then new=yes; shift; fi
for last; do :; done
to=$(echo "$last" | sed "s|^gs://|$FAKE/objects/|")
while [ $# -gt 1 ]; do
  from=$(echo "$1" | sed "s|^gs://|$FAKE/objects/|"); shift
  name=$to
  case "$to" in */) name=$to$(basename "$from") ;; esac
  if [ "$new" ] && [ -e "$name" ]; then
    echo "ERROR: HTTPError 412: At least one of the pre-conditions you specified did not hold." >&2
    exit 1
  fi
  mkdir -p "$(dirname "$name")" && cp "$from" "$name" || exit 1
done
""",
    "terraform": """#!/bin/sh
echo "terraform $*" >> "$FAKE/calls"
case "$1" in
  plan) mkdir -p .terraform; echo zip > .terraform/daybook-source.zip
    for word; do case $word in -var-file=*) cat "${word#*=}" > plan.tfplan ;; esac; done
    echo "# of run $RUN" >> plan.tfplan ;;
  show) echo "Terraform will do what $3 says:"; cat "$3" ;;
  apply) for last; do :; done; cat "$last" >> "$FAKE/applied"; ls -A >> "$FAKE/listing" ;;
esac
""",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEPT = f"objects/my-project-daybook-state/plans/staging/{COMMIT}"
VALUES = {
    "PROJECT_ID": "my-project",
    "COMMIT_SHA": COMMIT,
    "_ENVIRONMENT": "staging",
    "_REGION": "asia-southeast1",
    "_STATE_BUCKET": "my-project-daybook-state",
}


class Pipeline:
    """The steps of builds of one commit, each build in a workspace of its own."""

    def __init__(self, folder: Path) -> None:
        self.fake = folder
        self.runs = 0
        self.said = ""
        (folder / "bin").mkdir()
        for name, text in STANDINS.items():
            (folder / "bin" / name).write_text(text, encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        (folder / "checked").write_text("6cd0\n", encoding="utf-8")

    @property
    def applied(self) -> str | None:
        path = self.fake / "applied"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def kept(self, name: str) -> Path:
        return self.fake / KEPT / name

    def build(self, name: str, *ids: str) -> str | None:
        """The step that failed, if one did; the rest is not run then."""
        self.runs += 1
        workspace = self.fake / f"workspace-{self.runs}"
        root = workspace / "terraform/environment"
        root.mkdir(parents=True)
        (root / "staging.tfvars").write_text("paused = true\n", encoding="utf-8")
        (root / "prod.tfvars").write_text("paused = false\n", encoding="utf-8")
        shutil.copytree(pages.ROOT / "ops", workspace / "ops")
        for id_ in ids:
            step = steps(name)[id_]
            words = [step["entrypoint"], *step["args"]]
            for key, value in VALUES.items():
                words = [word.replace(f"${{{key}}}", value) for word in words]
            ended = subprocess.run(
                words,
                check=False,
                cwd=workspace / step.get("dir", "."),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                env={
                    "PATH": f"{self.fake / 'bin'}:{os.environ['PATH']}",
                    "FAKE": str(self.fake),
                    "COMMIT": COMMIT,
                    "RUN": str(self.runs),
                },
            )
            self.said = ended.stdout
            if ended.returncode:
                return id_
        return None

    def plan(self) -> str | None:
        return self.build(PLAN, "plan", "keep-plan")

    def apply(self) -> str | None:
        return self.build(APPLY, "checked", "fetch-plan", "apply")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def test_the_plan_that_was_kept_is_applied(pipeline: Pipeline) -> None:
    assert pipeline.plan() is None
    text = pipeline.kept("plan.txt").read_text(encoding="utf-8")
    digest = hashlib.sha256(pipeline.kept("plan.tgz").read_bytes()).hexdigest()
    assert text.splitlines()[0] == f"{digest}  plan.tgz"
    assert "paused = true\n# of run 1\n" in text
    assert pipeline.apply() is None, pipeline.said
    assert pipeline.applied == "paused = true\n# of run 1\n"
    calls = (pipeline.fake / "calls").read_text(encoding="utf-8").splitlines()
    inits = [call for call in calls if call.startswith("terraform init")]
    state = "-backend-config=bucket=my-project-daybook-state -backend-config=prefix=daybook/staging"
    assert inits == [f"terraform init -input=false -lockfile=readonly -reconfigure {state}"] * 2
    assert [call.split()[-1] for call in calls if "terraform apply" in call] == ["plan.tfplan"]
    assert not [call for call in calls if "auto-approve" in call]


def test_a_second_plan_of_the_same_commit_leaves_the_first_as_it_is(pipeline: Pipeline) -> None:
    assert pipeline.plan() is None
    before = {name: pipeline.kept(name).read_bytes() for name in ("plan.tgz", "plan.txt")}
    assert pipeline.plan() == "keep-plan"
    assert "A plan that is there is never replaced" in pipeline.said
    assert {name: pipeline.kept(name).read_bytes() for name in before} == before
    assert pipeline.apply() is None
    assert pipeline.applied == "paused = true\n# of run 1\n"


def _another_plan(kept: Path) -> None:
    (kept / "plan.tfplan").write_text("everything = true\n", encoding="utf-8")
    subprocess.run(["tar", "-czf", "plan.tgz", "plan.tfplan"], check=True, cwd=kept)


def _first_line(text: str) -> Callable[[Path], None]:
    def write(kept: Path) -> None:
        path = kept / "plan.txt"
        rest = path.read_text(encoding="utf-8").split("\n", 1)[1]
        path.write_text(text + rest, encoding="utf-8")

    return write


def _of_another_file(kept: Path) -> None:
    """A line that sha256sum -c alone would be content with."""
    (kept / "empty").touch()
    _another_plan(kept)
    _first_line(f"{hashlib.sha256(b'').hexdigest()}  /dev/null\n")(kept)


@pytest.mark.parametrize(
    ("tamper", "failing"),
    [
        (_another_plan, "apply"),
        (lambda kept: (kept / "plan.tgz").write_bytes(b""), "apply"),
        (_first_line(""), "apply"),
        (_first_line("\n"), "apply"),
        (_first_line(f"{'0' * 64}  plan.tgz\n"), "apply"),
        (_of_another_file, "apply"),
        (lambda kept: (kept / "plan.txt").write_bytes(b""), "apply"),
        (lambda kept: (kept / "plan.txt").unlink(), "fetch-plan"),
        (lambda kept: (kept / "plan.tgz").unlink(), "fetch-plan"),
    ],
    ids=[
        "another plan",
        "empty archive",
        "no digest",
        "empty line",
        "another digest",
        "digest of another file",
        "empty text",
        "no text",
        "no archive",
    ],
)
def test_a_plan_that_is_not_the_approved_one_is_not_applied(
    pipeline: Pipeline, tamper: Callable[[Path], object], failing: str
) -> None:
    assert pipeline.plan() is None
    tamper(pipeline.fake / KEPT)
    assert pipeline.apply() == failing
    assert pipeline.applied is None
    if failing == "apply":
        assert "plan.tgz is not the plan that plan.txt describes" in pipeline.said


def test_an_archive_brings_nothing_but_the_plan(pipeline: Pipeline) -> None:
    """Neither other code nor other providers than the commit's."""
    assert pipeline.plan() is None
    kept = pipeline.fake / KEPT
    with tarfile.open(kept / "plan.tgz") as archive:
        archive.extractall(kept, filter="data")
    for name in ("main.tf", ".terraform.lock.hcl"):
        (kept / name).write_text("other\n", encoding="utf-8")
    members = ["plan.tfplan", ".terraform/daybook-source.zip", "main.tf", ".terraform.lock.hcl"]
    subprocess.run(["tar", "-czf", "plan.tgz", *members], check=True, cwd=kept)
    digest = hashlib.sha256((kept / "plan.tgz").read_bytes()).hexdigest()
    _first_line(f"{digest}  plan.tgz\n")(kept)
    assert pipeline.apply() is None, pipeline.said
    listing = set((pipeline.fake / "listing").read_text(encoding="utf-8").split())
    variables = {"staging.tfvars", "prod.tfvars"}
    assert listing == {".terraform", "plan.tfplan", "plan.tgz", "plan.txt", *variables}


def test_a_commit_whose_checks_have_not_passed_is_not_applied(pipeline: Pipeline) -> None:
    assert pipeline.plan() is None
    (pipeline.fake / "checked").write_text("", encoding="utf-8")
    assert pipeline.apply() == "checked"
    assert "no successful build of the trigger daybook-check" in pipeline.said
    assert pipeline.applied is None


def test_a_half_kept_plan_is_not_applied_and_not_completed(pipeline: Pipeline) -> None:
    assert pipeline.plan() is None
    pipeline.kept("plan.txt").unlink()  # its upload failed
    assert pipeline.plan() == "keep-plan"
    assert not pipeline.kept("plan.txt").exists()
    assert pipeline.apply() == "fetch-plan"


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
