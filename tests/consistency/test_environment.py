"""terraform/environment, the root of all environments: what its variables reach, and its files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import pages
from tests.consistency.planning import EXAMPLE, Planner, stand_ins
from tests.consistency.test_terraform import tfcheck  # noqa: F401  (a fixture)

ROOT = pages.ROOT / "terraform" / "environment"
MODULES = pages.ROOT / "terraform" / "modules"
VARIABLE_FILES = sorted(ROOT.glob("*.tfvars"))


def declared(folder: Path) -> set[str]:
    text = (folder / "variables.tf").read_text(encoding="utf-8")
    return set(re.findall(r'^variable "(\w+)" \{$', text, re.MULTILINE))


def type_of(folder: Path, name: str) -> list[str]:
    """The lines of an object's type, without white space and defaults."""
    text = (folder / "variables.tf").read_text(encoding="utf-8")
    body = text.split(f'variable "{name}" {{\n', 1)[1]
    (type_,) = re.findall(r"\A.*?^  type = (object\(\{\n.*?^  \}\))$", body, re.M | re.S)
    lines = (re.sub(r"\s+", "", line) for line in type_.splitlines())
    return [
        re.sub(r"optional\((\w+(?:\(number\))?),.*\)$", r"optional(\1)", line) for line in lines
    ]


@pytest.mark.parametrize(
    ("module", "apart"),
    [
        # The names of accounts and states begin with the name; the source is this repository.
        ("export-function", {"labels", "name", "source_root", "static_egress"}),
        ("observability", {"labels"}),
    ],
)
def test_every_variable_of_a_module_is_one_of_the_root_or_comes_from_the_other_module(
    module: str, apart: set[str]
) -> None:
    main = (ROOT / "main.tf").read_text(encoding="utf-8")
    (body,) = re.findall(rf'^  source = "../modules/{module}"\n(.*?)^\}}', main, re.M | re.S)
    given = dict(re.findall(r"^  (\w+) += (.+)$", body, re.MULTILINE))
    assert set(given) == declared(MODULES / module) - ({"name", "source_root"} & apart)
    for name, expression in given.items():
        if name not in apart:
            assert re.fullmatch(rf"var\.{name}|module\.export_function\.[\w.]+", expression), name


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("export-function", "function"),
        ("export-function", "schedules"),
        ("export-function", "settings"),
        ("export-function", "tasks"),
        ("observability", "limits"),
    ],
)
def test_the_root_has_every_attribute_of_a_modules_object_and_no_default_of_its_own(
    module: str, name: str
) -> None:
    assert type_of(ROOT, name) == type_of(MODULES / module, name)


# What reaches the project


@pytest.fixture(scope="module")
def planner(
    tmp_path_factory: pytest.TempPathFactory,
    tfcheck: list[str],  # noqa: F811
) -> Iterator[Planner]:
    with stand_ins(tfcheck) as env:
        yield Planner(tmp_path_factory.mktemp("planner"), env)


def after(changes: list[dict[str, Any]], address: str) -> dict[str, Any]:
    (found,) = (change for change in changes if change["address"] == address)
    values: dict[str, Any] = found["change"]["after"]
    return values


@pytest.mark.timeout(300)
def test_what_is_set_reaches_the_function_the_jobs_and_the_alerts(planner: Planner) -> None:
    changes = planner.planned(
        EXAMPLE.replace('"staging"', '"prod"')
        + """
egress_subnet_cidr = "10.9.0.0/24"
function           = { memory = "2Gi", timeout_seconds = 1800 }
limits             = { entries = 12345 }
probe_minutes      = 5
schedules          = { batch = "0 19 * * 1-5", time_zone = "Asia/Tokyo" }
settings           = { language = "th", run_deadline_seconds = 1770 }
tasks              = { max_attempts = 30 }
"""
    )
    function = after(changes, "module.export_function.google_cloudfunctions2_function.default")
    (service,) = function["service_config"]
    assert (service["available_memory"], service["timeout_seconds"]) == ("2Gi", 1800)
    assert service["available_cpu"] == "1"  # the module's default
    assert function["labels"] == {"app": "daybook", "environment": "prod"}
    job = after(changes, 'module.export_function.google_cloud_scheduler_job.default["batch"]')
    assert (job["schedule"], job["time_zone"]) == ("0 19 * * 1-5", "Asia/Tokyo")
    assert job["attempt_deadline"] == "1800s"
    alert = after(changes, 'module.observability.google_monitoring_alert_policy.log["batch_large"]')
    assert "entryCount>12345" in json.dumps(alert).replace(" ", "")
    probe = after(changes, "module.observability.google_cloud_scheduler_job.probe[0]")
    assert probe["schedule"].startswith("*/5 ")
    queue = after(changes, "module.export_function.google_cloud_tasks_queue.default")
    assert queue["retry_config"][0]["max_attempts"] == 30
    subnet = after(changes, "module.export_function.google_compute_subnetwork.default[0]")
    assert subnet["ip_cidr_range"] == "10.9.0.0/24"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            """
limits        = { entries = 0 }
probe_minutes = 7
schedules     = { batch = "18:00", time_zone = "Bangkok" }
settings      = { language = "de", lease_seconds = 5, upload_chunk_bytes = 1000 }
""",
            [
                "limits.duration_seconds and limits.entries must be above 0",
                "probe_minutes must be 1, 5, 10 or 15",
                "schedules.audit, .batch, .sweep and .watchdog must be cron schedules",
                "schedules.time_zone must be an IANA time zone",
                "settings.language must be en or th",
                "settings.lease_seconds must be from 15 to 600",
                "settings.upload_chunk_bytes must be a multiple of 262144",
            ],
        ),
        (
            'function = { concurrency = 1, cpu = "4", memory = "3Gi", timeout_seconds = 480 }',
            [
                "function.concurrency must be a whole number from 2 to 80",
                'function.cpu must be "1" or "2"',
                "function.memory must be 512Mi, 1Gi, 2Gi or 4Gi",
                "function.timeout_seconds must exceed settings.run_deadline_seconds",
            ],
        ),
    ],
    ids=["the others", "function"],
)
def test_what_is_wrong_is_refused_by_name_all_at_once(
    planner: Planner, wrong: str, said: list[str]
) -> None:
    told = planner.plan(EXAMPLE + wrong)
    assert told.returncode == 1
    text = " ".join(re.sub(r"[│╷╵]", " ", told.stderr).split())
    assert [sentence for sentence in said if sentence not in text] == []


# The files of variables


def assigned(text: str) -> dict[str, str]:
    """Name → expression, of what a .tfvars file or an object in one assigns at its own depth."""
    tokens = re.compile(r'"(?:[^"\\]|\\.)*"|#.*|[{\[(]|[}\])]|([\w-]+)\s*=')
    names: list[tuple[str, int, int]] = []
    depth = 0
    for token in tokens.finditer(text):
        if token[1] and depth == 0:
            names.append((token[1], token.start(), token.end()))
        depth += (token[0] in "{[(") - (token[0] in "}])")
    ends = [*(start for _, start, _ in names[1:]), len(text)]
    return {
        name: re.sub(r"#.*", "", text[begin:end]).strip(" \n,")
        for (name, _, begin), end in zip(names, ends, strict=False)
    }


@pytest.mark.parametrize("path", VARIABLE_FILES, ids=lambda path: path.name)
def test_a_file_of_variables_sets_variables_that_exist(path: Path) -> None:
    """Terraform only warns of another variable, and ignores another attribute of an object."""
    values = assigned(path.read_text(encoding="utf-8"))
    assert set(values) <= declared(ROOT)
    assert values["environment"].startswith(f'"{path.stem}"')
    for name in ("function", "limits", "schedules", "settings", "tasks"):
        offered = set(re.findall(r"(\w+)=optional", "\n".join(type_of(ROOT, name))))
        assert offered
        assert set(assigned(values.get(name, "{}")[1:-1])) <= offered, name
    assert not re.search(r"mongodb(\+srv)?://\w", path.read_text(encoding="utf-8"))


def test_staging_and_production_have_a_file_each() -> None:
    assert {path.stem for path in VARIABLE_FILES} >= {"prod", "staging"}


def test_a_name_that_is_assigned_is_found_at_its_depth() -> None:
    text = """
# settings = { nothing = 1 }
paused   = true
settings = {
  language = "th" # {
  ledger_accounts = { others = { code = "1", name = "a = {" } }
}
tasks = { max_attempts = 9, max_dispatches_per_second = 1 }
"""
    values = assigned(text)
    assert set(values) == {"paused", "settings", "tasks"}
    assert set(assigned(values["tasks"][1:-1])) == {"max_attempts", "max_dispatches_per_second"}


# Tables of variables


def tables(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "ops/tables.py", *arguments]
    return subprocess.run(
        command, check=False, cwd=root, capture_output=True, text=True, timeout=60
    )


def test_the_tables_of_variables_are_what_make_docs_writes() -> None:
    told = tables(pages.ROOT, "--check")
    assert (told.returncode, told.stderr) == (0, ""), "run make docs"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    apart = shutil.ignore_patterns(".terraform", "*.tfstate*")
    shutil.copytree(pages.ROOT / "terraform", tmp_path / "terraform", ignore=apart)
    shutil.copytree(pages.ROOT / "ops", tmp_path / "ops")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "old", "new", "stale", "row"),
    [
        (
            "modules/export-function",
            'optional(string, "1Gi")',
            'optional(string, "2Gi")',
            ["environment", "modules/export-function"],
            '| `function.memory` | `string` | `"2Gi"` |  |',
        ),
        (
            "bootstrap",
            "Where the state is kept.",
            "Where the state | is kept.",
            ["bootstrap"],
            '| `region` | `string` | `"asia-southeast1"` | Where the state \\| is kept. |',
        ),
        (
            "environment",
            'variable "paused" {',
            'variable "halted" {',
            ["environment"],
            "| `halted` | `bool` | `false` | Whether the batch",
        ),
        (
            "modules/observability",
            "  default     = 10\n",
            "",
            ["environment", "modules/observability"],
            "| `probe_minutes` | `number` | required |",
        ),
    ],
)
def test_a_table_that_is_stale_is_named_and_written(
    checkout: Path, name: str, old: str, new: str, stale: list[str], row: str
) -> None:
    path = checkout / "terraform" / name / "variables.tf"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    told = tables(checkout, "--check")
    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        f"terraform/{folder}/README.md: not what `make docs` writes" for folder in stale
    ]
    assert tables(checkout).returncode == 0
    for folder in stale:
        assert row in (checkout / "terraform" / folder / "README.md").read_text(encoding="utf-8")
    assert tables(checkout, "--check").returncode == 0


def test_a_folder_without_a_place_for_its_table_is_named(checkout: Path) -> None:
    (checkout / "terraform/bootstrap/README.md").write_text("# bootstrap\n")
    told = tables(checkout, "--check")
    assert told.returncode == 1
    assert "terraform/bootstrap/README.md: no lines" in told.stderr


@pytest.mark.parametrize("path", sorted((pages.ROOT / "terraform").glob("**/variables.tf")))
def test_a_table_has_a_row_for_each_variable_and_attribute(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    attributes = re.findall(r"^    (\w+) += \w", text, re.MULTILINE)
    attributes = [name for name in attributes if name not in {"condition", "error_message"}]
    rows = re.findall(r"^\| `([\w.]+)` \| `", (path.parent / "README.md").read_text(), re.M)
    assert sorted(row.rpartition(".")[2] for row in rows) == sorted(
        [*declared(path.parent), *attributes]
    )
