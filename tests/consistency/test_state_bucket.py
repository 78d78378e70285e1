"""Who may do what in the state's bucket, as the bootstrap grants it.

The pipeline's own scripts, the real gcloud and the real Terraform with its `gcs` backend, in
front of a bucket that grants what `terraform/bootstrap/state.tf` says, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.emulators.storage import Bucket, storage

BUCKET = "my-project-daybook-state"
FOLDER = f"gs://{BUCKET}/plans/staging/0123456789abcdef"
STATE = "daybook/staging/default.tfstate"
LOCK = "daybook/staging/default.tflock"
PERMISSIONS = {
    "roles/storage.objectCreator": {"create"},
    "roles/storage.objectUser": {"create", "delete", "get", "list", "update"},
    "roles/storage.objectViewer": {"get", "list"},
}
"""https://cloud.google.com/storage/docs/access-control/iam-roles"""


def _grants() -> list[tuple[str, set[str], str]]:
    """Of each grant the account, its permissions, and its condition."""
    text = (pages.ROOT / "terraform" / "bootstrap" / "state.tf").read_text(encoding="utf-8")
    found = re.findall(
        r"member     = google_service_account\.(\w+)\.member\n"
        r'      role       = "(\S+)"\n      title .+\n      expression = "(.+)"\n',
        text,
    )
    assert len(found) == text.count("      role       = ") > 0
    condition = f"projects/_/buckets/{BUCKET}"
    return [
        (account, PERMISSIONS[role], expression.replace("${local.state_bucket}", condition))
        for account, role, expression in found
    ]


def _holds(condition: str, resource: str) -> bool:
    """As much of IAM's language as the conditions use."""

    def atom(text: str) -> bool:
        if equal := re.fullmatch(r"resource\.name == '([^']+)'", text):
            return resource == equal[1]
        part = re.fullmatch(r"resource\.name\.(startsWith|endsWith)\('([^']+)'\)", text)
        assert part, text
        return (
            resource.startswith(part[2]) if part[1] == "startsWith" else resource.endswith(part[2])
        )

    return any(all(map(atom, one.split(" && "))) for one in condition.split(" || "))


def granted(caller: str, permission: str, resource: str) -> bool:
    """Whether one of the bootstrap's grants allows it."""
    return any(
        account == caller
        and permission.removeprefix("storage.objects.") in permissions
        and _holds(condition, resource)
        for account, permissions, condition in _grants()
    )


ALLOWED = {
    "`daybook/`, the states": STATE,
    "`daybook/…/default.tflock`, their locks": LOCK,
    "`plans/`": "plans/staging/0123456789abcdef/plan.tgz",
    "`bootstrap/`, the bootstrap's state": "bootstrap/default.tfstate",
}
"""A row of security.md → an object of that kind."""
WORDS = {
    (): "no",
    ("get",): "read",
    ("create", "delete", "get", "update"): "read, write",
    ("create", "get"): "read, write new ones",
}


def test_the_table_of_the_bucket_says_what_the_bootstrap_grants() -> None:
    rows = pages.table("security.md", "in the state's bucket")
    assert {row[0] for row in rows} == set(ALLOWED)
    for row in rows:
        resource = f"projects/_/buckets/{BUCKET}/objects/{ALLOWED[row[0]]}"
        told = [
            WORDS[
                tuple(p for p in ("create", "delete", "get", "update") if granted(who, p, resource))
            ]
            for who in ("checker", "planner", "deployer")
        ]
        assert row[1:] == [*told, "no"], row[0]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """The state's bucket; its owner is not bound by grants."""
    for program in ("gcloud", "terraform"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with storage(BUCKET, lambda *asked: asked[0] == "owner" or granted(*asked)) as there:
        yield there


class Workspace:
    """A checkout with a root for the environments that needs no provider."""

    def __init__(self, root: Path, bucket: Bucket) -> None:
        self.bucket = bucket
        self.config = root / "gcloud"
        self.folder = root / "terraform" / "environment"
        (self.folder / ".terraform").mkdir(parents=True)
        shutil.copytree(pages.ROOT / "ops", root / "ops")
        for name in ("backend.tf", "guard.tf"):
            shutil.copy(pages.ROOT / "terraform/environment" / name, self.folder)
        for environment in ("staging", "prod"):
            variables = f'environment = "{environment}"\nproject_id = "my-{environment}"\n'
            (self.folder / f"{environment}.tfvars").write_text(variables, encoding="utf-8")
        # As the plan's data source makes it.
        (self.folder / ".terraform/daybook-source.zip").write_bytes(b"zip")

    def write(self, value: str) -> None:
        text = f'resource "terraform_data" "default" {{\n  input = "{value}"\n}}\n'
        (self.folder / "main.tf").write_text(text, encoding="utf-8")
        text = 'variable "environment" {}\nvariable "project_id" {}\n'
        (self.folder / "variables.tf").write_text(text, encoding="utf-8")

    def run(self, account: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            check=False,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.config),
                "CHECKPOINT_DISABLE": "1",
                "TF_IN_AUTOMATION": "1",
                "TF_CLI_ARGS": "-no-color",
                "GOOGLE_OAUTH_ACCESS_TOKEN": account,
                "GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT": f"{self.bucket.url}/storage/v1/",
                "CLOUDSDK_CONFIG": str(self.config),
                "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
                "CLOUDSDK_CORE_PROJECT": "my-project",
                "CLOUDSDK_AUTH_ACCESS_TOKEN": account,
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.bucket.url}/storage/v1/",
            },
        )

    def script(self, account: str, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(account, "sh", f"../../ops/{name}.sh", *words)

    def must(self, account: str, *words: str) -> None:
        told = self.run(account, *words)
        assert told.returncode == 0, told.stdout + told.stderr

    def init(self, environment: str) -> None:
        """As the bootstrap's output init_command has it."""
        bucket, prefix = f"bucket={BUCKET}", f"prefix=daybook/{environment}"
        configs = (f"-backend-config={bucket}", f"-backend-config={prefix}")
        self.must("owner", "terraform", "init", "-reconfigure", *configs)

    def first_apply(self) -> None:
        """By hand, by the project's owner."""
        self.write("first")
        self.init("staging")
        self.must("owner", "terraform", "apply", "-auto-approve", "-var-file=staging.tfvars")

    def state(self) -> str:
        """What the environment's resource was applied with."""
        state = json.loads(self.bucket.objects[STATE][1])
        (resource,) = (found for found in state["resources"] if found["name"] == "default")
        value = resource["instances"][0]["attributes"]["input"]["value"]
        assert isinstance(value, str)
        return value


@pytest.fixture
def workspace(tmp_path: Path, bucket: Bucket) -> Workspace:
    return Workspace(tmp_path, bucket)


def test_the_planners_plan_is_applied_by_the_deployer(workspace: Workspace, bucket: Bucket) -> None:
    workspace.first_apply()
    before = bucket.objects[STATE]
    workspace.write("second")
    told = workspace.script("planner", "plan", BUCKET, "staging")
    assert told.returncode == 0, told.stdout + told.stderr
    assert bucket.objects == {STATE: before}  # no lock is left, and the state is as it was
    told = workspace.script("planner", "keep-plan", FOLDER)
    assert told.returncode == 0, told.stderr
    text = bucket.objects[f"{FOLDER.removeprefix(f'gs://{BUCKET}/')}/plan.txt"][1].decode()
    archive = bucket.objects[f"{FOLDER.removeprefix(f'gs://{BUCKET}/')}/plan.tgz"][1]
    assert text.splitlines()[0] == f"{hashlib.sha256(archive).hexdigest()}  plan.tgz"
    assert '"second"' in text
    for name in ("plan.txt", "plan.tgz", "plan.tfplan"):
        (workspace.folder / name).unlink()
    workspace.must(
        "deployer", "gcloud", "storage", "cp", f"{FOLDER}/plan.txt", f"{FOLDER}/plan.tgz", "./"
    )
    told = workspace.script("deployer", "apply", BUCKET, "staging")
    assert told.returncode == 0, told.stdout + told.stderr
    assert workspace.state() == "second"
    assert bucket.refused == []


def test_a_kept_plan_cannot_be_replaced(workspace: Workspace, bucket: Bucket) -> None:
    workspace.folder.joinpath("plan.tgz").write_bytes(b"first")
    workspace.folder.joinpath("plan.txt").write_text("first")
    assert workspace.script("planner", "keep-plan", FOLDER).returncode == 0
    before = dict(bucket.objects)
    assert len(before) == 2
    workspace.folder.joinpath("plan.tgz").write_bytes(b"second")
    told = workspace.script("planner", "keep-plan", FOLDER)
    assert told.returncode == 1
    assert "A plan that is there is never replaced" in told.stderr
    assert "412" in told.stderr
    # Nor without the precondition: what replaces an object needs the right to delete it.
    told = workspace.run("planner", "gcloud", "storage", "cp", "plan.tgz", f"{FOLDER}/plan.tgz")
    assert told.returncode == 1
    kept = bucket.resource(f"{FOLDER.removeprefix(f'gs://{BUCKET}/')}/plan.tgz")
    assert set(bucket.refused) == {("planner", "storage.objects.delete", kept)}
    assert not granted("deployer", "delete", kept)
    assert bucket.objects == before


def test_a_plan_is_written_by_the_planner_alone(workspace: Workspace, bucket: Bucket) -> None:
    workspace.folder.joinpath("plan.tgz").write_bytes(b"forged")
    told = workspace.run("deployer", "gcloud", "storage", "cp", "plan.tgz", f"{FOLDER}/plan.tgz")
    assert told.returncode == 1
    assert bucket.objects == {}
    assert {permission for _, permission, _ in bucket.refused} == {"storage.objects.create"}


def test_a_planner_that_applies_changes_nothing(workspace: Workspace, bucket: Bucket) -> None:
    workspace.first_apply()
    before = dict(bucket.objects)
    workspace.write("second")
    apply = ("terraform", "apply", "-auto-approve", "-var-file=staging.tfvars")
    told = workspace.run("planner", *apply)
    assert told.returncode == 1
    refused = ("planner", "storage.objects.create", bucket.resource(STATE))
    assert set(bucket.refused) == {refused}
    assert bucket.objects == before
    assert workspace.state() == "first"


def test_a_planner_without_a_state_leaves_none(workspace: Workspace, bucket: Bucket) -> None:
    """So the first apply is made by hand."""
    workspace.write("first")
    told = workspace.script("planner", "plan", BUCKET, "staging")
    assert told.returncode == 1
    assert bucket.objects == {}


# One root for all environments


@pytest.mark.parametrize(("state", "variables"), [("staging", "prod"), ("prod", "staging")])
def test_a_state_is_not_planned_with_the_variables_of_another_environment(
    workspace: Workspace, bucket: Bucket, state: str, variables: str
) -> None:
    workspace.write("first")
    for environment in ("staging", "prod"):
        workspace.init(environment)
        apply = ("terraform", "apply", "-auto-approve", f"-var-file={environment}.tfvars")
        workspace.must("owner", *apply)
    before = dict(bucket.objects)
    assert set(before) == {f"daybook/{name}/default.tfstate" for name in ("staging", "prod")}
    workspace.init(state)
    told = workspace.run("owner", "terraform", "plan", f"-var-file={variables}.tfvars")
    assert told.returncode == 1
    said = " ".join(told.stderr.split())
    assert f"The state is of {state} in my-{state}, and the variables are of {variables}" in said
    assert bucket.objects == before
    workspace.must("owner", "terraform", "plan", f"-var-file={state}.tfvars")


def test_an_environment_can_be_destroyed(workspace: Workspace, bucket: Bucket) -> None:
    workspace.first_apply()
    workspace.must("owner", "terraform", "destroy", "-auto-approve", "-var-file=staging.tfvars")
    assert json.loads(bucket.objects[STATE][1])["resources"] == []


def test_an_environment_that_had_a_folder_of_its_own_goes_on_with_its_state(
    workspace: Workspace, bucket: Bucket
) -> None:
    former = workspace.folder.parent / "environments" / "staging"
    former.mkdir(parents=True)
    backend = 'terraform {\n  backend "gcs" {\n    prefix = "daybook/staging"\n  }\n}\n'
    (former / "backend.tf").write_text(backend, encoding="utf-8")
    workspace.write("first")
    shutil.copy(workspace.folder / "main.tf", former)
    for words in (("init", f"-backend-config=bucket={BUCKET}"), ("apply", "-auto-approve")):
        workspace.must("owner", "terraform", f"-chdir={former}", *words)
    assert workspace.state() == "first"
    workspace.init("staging")
    plan = ("terraform", "plan", "-var-file=staging.tfvars", "-out=plan.tfplan")
    workspace.must("owner", *plan)
    told = workspace.run("owner", "terraform", "show", "-json", "plan.tfplan")
    changes = json.loads(told.stdout)["resource_changes"]
    assert {change["address"]: change["change"]["actions"] for change in changes} == {
        "terraform_data.default": ["no-op"],
        "terraform_data.environment": ["create"],
    }


# The bootstrap's own state


def _steps(project: str) -> list[str]:
    """The commands of deploy.md's first step from the bootstrap's folder on."""
    text = pages.text_of("deploy.md")
    (block,) = re.findall(
        r"```sh\n(?:(?!```).)*?^cd terraform/bootstrap\n(.*?)```", text, re.S | re.M
    )
    lines = [line.split("    #")[0] for line in block.splitlines()]
    return [line.replace("my-company-daybook-staging", project) for line in lines]


def _bootstrap(workspace: Workspace) -> Path:
    """A bootstrap that needs no provider, with the backend of the real one."""
    folder = workspace.folder.parent / "bootstrap"
    folder.mkdir()
    shutil.copy(pages.ROOT / "terraform/bootstrap/backend.tf", folder)
    shutil.copy(pages.ROOT / "terraform/bootstrap/terraform.tfvars.example", folder)
    main = 'variable "project_id" {}\nvariable "region" {}\n'
    main += 'resource "terraform_data" "default" {\n  input = "first"\n}\n'
    (folder / "main.tf").write_text(main, encoding="utf-8")
    return folder


def _answering_yes(workspace: Workspace, folder: Path, *commands: str) -> None:
    for command in commands:
        told = workspace.run(
            "owner", "sh", "-euc", f"cd {folder}; yes yes 2>/dev/null | ({command})"
        )
        assert told.returncode == 0, f"{command}: {told.stdout}{told.stderr}"


def test_the_bootstraps_state_moves_into_its_own_bucket(
    workspace: Workspace, bucket: Bucket
) -> None:
    """By the page's commands, and another checkout finds it there."""
    folder = _bootstrap(workspace)
    steps = _steps("my-project")
    first = next(n for n, step in enumerate(steps) if "-migrate-state" in step)
    _answering_yes(workspace, folder, *steps[:first])
    assert bucket.objects == {}
    _answering_yes(workspace, folder, *steps[first:])
    _is_in_the_bucket(workspace, bucket, folder)


def test_a_bootstrap_that_kept_its_state_in_its_folder_moves_it_too(
    workspace: Workspace, bucket: Bucket
) -> None:
    folder = _bootstrap(workspace)
    backend = (folder / "backend.tf").read_text(encoding="utf-8")
    (folder / "backend.tf").unlink()
    variables = "cp terraform.tfvars.example terraform.tfvars"
    _answering_yes(workspace, folder, variables, "terraform init", "terraform apply")
    assert (folder / "terraform.tfstate").exists()
    (folder / "backend.tf").write_text(backend, encoding="utf-8")
    move = [step for step in _steps("my-project") if "-migrate-state" in step]
    _answering_yes(workspace, folder, *move, "rm terraform.tfstate*")
    _is_in_the_bucket(workspace, bucket, folder)


def _is_in_the_bucket(workspace: Workspace, bucket: Bucket, folder: Path) -> None:
    assert set(bucket.objects) == {"bootstrap/default.tfstate"}
    (found,) = json.loads(bucket.objects["bootstrap/default.tfstate"][1])["resources"]
    assert found["instances"][0]["attributes"]["input"]["value"] == "first"
    assert not list(folder.glob("*.tfstate*"))
    assert not (folder / "backend_override.tf").exists()
    shutil.rmtree(folder / ".terraform")
    init = f"terraform init -backend-config=bucket={BUCKET}"
    _answering_yes(workspace, folder, init, "terraform plan -detailed-exitcode")


@pytest.mark.parametrize("account", ["checker", "deployer", "planner"])
def test_no_account_of_the_pipeline_reads_the_bootstraps_state(account: str) -> None:
    resource = f"projects/_/buckets/{BUCKET}/objects/bootstrap/default.tfstate"
    assert not any(granted(account, right, resource) for right in ("create", "delete", "get"))
