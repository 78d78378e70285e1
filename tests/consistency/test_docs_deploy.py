"""docs/deploy.md and docs/security.md say of Terraform what Terraform says."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from daybook.http.callers import OPEN
from daybook.http.ledger import routes
from daybook.http.routes import PERMISSIONS, ROUTES
from daybook.settings.settings import VARIABLES
from tests import pages
from tests.consistency.planning import EXAMPLE, Planner, stand_ins
from tests.consistency.test_cloudbuild import triggers
from tests.consistency.test_terraform import tfcheck  # noqa: F401  (a fixture)

TERRAFORM = pages.ROOT / "terraform"
MODULES = {"export_function": "export-function", "observability": "observability"}
CALLERS = {
    "local.scheduler_email": "`NAME-scheduler`",
    "local.tasks_email": "`NAME-tasks`",
    "var.operators": "operators",
    "var.metrics_readers": "metrics readers",
    "var.page_readers": "page readers",
}
"""An expression of callers.tf → how the table of security.md calls the account."""

FORMER_STATE = {
    "version": 4,
    "terraform_version": "1.11.0",
    "serial": 1,
    "lineage": "00000000-0000-0000-0000-000000000001",
    "outputs": {},
    "resources": [
        {
            "module": "module.export_function",
            "mode": "managed",
            "type": "google_service_account",
            "name": "runtime",
            "provider": 'provider["registry.terraform.io/hashicorp/google"]',
            "instances": [
                {
                    "schema_version": 0,
                    "attributes": {
                        "account_id": "daybook-run",
                        "email": "daybook-run@my-company-daybook-staging.iam.gserviceaccount.com",
                        "project": "my-company-daybook-staging",
                    },
                }
            ],
        }
    ],
}
"""Of an environment that made its accounts itself, before the bootstrap did."""


@cache
def hcl(folder: str) -> str:
    files = sorted((TERRAFORM / folder).glob("*.tf"))
    assert files, folder
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def resources() -> set[str]:
    declared = re.compile(r'^resource "(\w+)" "(\w+)"', re.MULTILINE)
    return {".".join(found) for found in declared.findall(hcl("environment"))} | {
        f"module.{name}.{kind}.{label}"
        for name, folder in MODULES.items()
        for kind, label in declared.findall(hcl(f"modules/{folder}"))
    }


def planned() -> dict[str, int]:
    """What the page says that a plan lists: address → number."""
    rows = pages.table("deploy.md", "resource")
    return {pages.words(row[0])[0]: int(row[1]) for row in rows}


def block(text: str, opening: str) -> str:
    """From the line that begins with `opening` to the brace or bracket on its level."""
    start = text.index(opening)
    indent = re.search(r"[ ]*$", text[:start])
    assert indent is not None
    end = re.compile(rf"^{indent[0]}[}}\])]", re.MULTILINE).search(text, start)
    assert end is not None, opening
    return text[start : end.start()]


def keys(text: str, opening: str, *, indent: int) -> list[str]:
    return re.findall(rf"^ {{{indent}}}(\w+) = {{", block(text, opening), re.MULTILINE)


def test_every_resource_is_either_planned_or_needs_another_variable() -> None:
    text = pages.text_of("deploy.md")
    others = re.findall(r"`(google_\w+\.\w+|time_\w+\.\w+)`", text)
    listed = set(planned())
    assert not {name.partition(".")[2].partition(".")[2] for name in listed} & set(others)
    unlisted = {name.split(".", 2)[2] for name in resources() - listed}
    assert listed - resources() == set()
    assert unlisted == set(others)


def test_the_numbers_add_up_to_what_the_page_says() -> None:
    (total,) = re.findall(r"the plan lists (\d+) resources", pages.text_of("deploy.md"))
    assert sum(planned().values()) == int(total)


@pytest.mark.timeout(300)
def test_a_plan_from_the_example_lists_what_the_page_says(
    tmp_path: Path,
    tfcheck: list[str],  # noqa: F811  (the fixture)
) -> None:
    with stand_ins(tfcheck) as env:
        changes = Planner(tmp_path, env).planned(EXAMPLE, state=FORMER_STATE)
    listed = Counter(
        re.sub(r"\[.*\]$", "", change["address"])
        for change in changes
        if change["mode"] == "managed" and change["change"]["actions"] != ["forget"]
    )
    assert dict(listed) == planned()
    # What Drive and the database know is not made anew: the account that was there stays.
    actions = {change["address"]: change["change"]["actions"] for change in changes}
    assert actions["module.export_function.google_service_account.runtime"] == ["forget"]
    assert not [address for address, what in actions.items() if "delete" in what]


def test_the_numbers_are_those_of_the_modules_lists() -> None:
    export, watch = hcl("modules/export-function"), hcl("modules/observability")
    numbers = planned()
    jobs = [*keys(export, "jobs = {", indent=4), *keys(export, "jobs_by_hand = {", indent=4)]
    assert numbers["module.export_function.google_cloud_scheduler_job.default"] == len(jobs)
    services = re.findall(r'^      "([a-z]+\.googleapis\.com)",$', export, re.MULTILINE)
    # One more with static_egress, as the example has it.
    assert numbers["module.export_function.google_project_service.default"] == len(services) + 1
    counters = keys(watch, "counters = {", indent=4)
    probes = keys(watch, "probe_counters = ", indent=4)
    metric = "module.observability.google_logging_metric"
    assert numbers[f"{metric}.counter"] == len(counters) + len(probes)
    assert numbers[f"{metric}.distribution"] == len(keys(watch, "distributions = {", indent=4))
    events = keys(watch, "events = {", indent=4)
    more = keys(watch, "log_alerts = merge(", indent=6)
    assert numbers["module.observability.google_monitoring_alert_policy.log"] == len(
        [*events, *more]
    )


def test_what_is_charged_by_number_is_as_many_as_are_planned() -> None:
    numbers = planned()

    def of(kind: str) -> int:
        return sum(count for address, count in numbers.items() if f".{kind}." in address)

    charged = " ".join(row[1] for row in pages.table("deploy.md", "item"))
    for noun, kind in (
        ("jobs", "google_cloud_scheduler_job"),
        ("metrics", "google_logging_metric"),
        ("policies", "google_monitoring_alert_policy"),
    ):
        assert re.findall(rf"(\d+) {noun}\b", charged) == [str(of(kind))], noun


def test_the_jobs_that_switching_on_changes_are_those_that_wait() -> None:
    scheduled = block(hcl("modules/export-function"), "jobs = {")
    waiting = re.findall(r"^    (\w+) = \{\n[^}]*paused += var\.paused$", scheduled, re.MULTILINE)
    (listed,) = re.findall(
        r"The plan changes three jobs, (.*?), and", pages.text_of("deploy.md"), re.DOTALL
    )
    assert sorted(pages.words(listed)) == sorted(f"daybook-{key}" for key in waiting)
    assert len(waiting) == 3


def test_every_output_that_the_page_asks_for_is_there() -> None:
    outputs = set(re.findall(r'^output "(\w+)"', hcl("environment"), re.MULTILINE))
    asked = re.findall(r"terraform output (?:-raw )?(\w+)", pages.text_of("deploy.md"))
    assert asked
    assert set(asked) <= outputs


def test_every_variable_in_the_page_is_one_of_the_environment() -> None:
    variables = set(re.findall(r'^variable "(\w+)"', hcl("environment"), re.MULTILINE))
    decided = pages.column(pages.table("deploy.md", "variable"))
    assert set(decided) <= variables


def test_the_table_of_callers_is_the_one_that_terraform_makes() -> None:
    text = block(hcl("modules/export-function"), "callers_by_route = {")
    made = {
        route: {name for expression, name in CALLERS.items() if expression in accounts}
        for route, accounts in re.findall(r'^    "(\S+)" += (.+)$', text, re.MULTILINE)
    }
    shown = {
        route: set(re.split(r", ", who))
        for routes, who in pages.table("security.md", "route")
        for route in pages.words(routes)
    }
    anybody = {
        route for route, who in shown.items() if who == {"each caller with `roles/run.invoker`"}
    }
    assert anybody == OPEN
    assert {route: who for route, who in shown.items() if route not in OPEN} == made
    assert set(shown) == {
        PERMISSIONS.get((path, method), path)
        for path, methods in ROUTES.items()
        for method in methods
    }


def test_the_table_of_the_ledgers_routes_is_what_the_code_and_terraform_have() -> None:
    shown = {
        route: who
        for routes, who, _ in pages.table("security.md", "route of the ledger")
        for route in pages.words(routes)
    }
    assert set(shown) == set(routes.ROUTES)
    named = {route for route, who in shown.items() if who == "`ledger_callers`"}
    anybody = {
        route for route, who in shown.items() if who == "each caller with `roles/run.invoker`"
    }
    assert named | anybody == set(shown)
    assert anybody == OPEN & set(routes.ROUTES)
    variable = block(hcl("modules/export-function"), 'variable "ledger_callers"')
    assert re.findall(r'^      "(/\S+)",$', variable, re.MULTILINE) == sorted(named)


def test_the_table_of_accounts_has_every_account_that_terraform_makes() -> None:
    bootstrap, module = hcl("bootstrap"), hcl("modules/export-function")
    alone = re.findall(r'^  account_id +=.*?-(\w+)"$', bootstrap, re.MULTILINE)
    several = re.findall(
        r'^    (\w+) += "Daybook: ', block(bootstrap, "  accounts = {"), re.MULTILINE
    )
    (used,) = re.findall(r"emails = {\s+for key in (\[.+?\]) :", module)
    assert json.loads(used) == sorted(several)
    shown = pages.column([row[:1] for row in pages.table("security.md", "account")])
    assert sorted(shown) == sorted(f"NAME-{account}" for account in (*alone, *several))
    for folder in ("modules/export-function", "modules/observability"):
        assert 'resource "google_service_account" ' not in hcl(folder)


def test_the_roles_that_the_deployer_can_grant_are_as_many_as_the_page_says() -> None:
    roles = re.findall(r'"roles/', block(hcl("bootstrap"), "grantable_roles = ["))
    assert len(roles) == 6
    assert "the six roles" in pages.text_of("security.md")


def test_the_table_of_accounts_has_those_that_the_bootstrap_makes() -> None:
    text = hcl("bootstrap")
    made = set(keys_of_strings(text, "accounts = {"))
    made |= set(re.findall(r'account_id += "\$\{var\.name\}-(\w+)"', text))
    listed = pages.column(pages.table("security.md", "account"))
    assert {name.removeprefix("NAME-") for name in listed} == made
    assert not re.findall(r'resource "google_service_account"', hcl("modules/export-function"))


def keys_of_strings(text: str, opening: str) -> list[str]:
    return re.findall(r'^    (\w+) += "', block(text, opening), re.MULTILINE)


def test_the_accounts_that_the_deployer_acts_as_are_as_many_as_the_page_says() -> None:
    assert len(keys_of_strings(hcl("bootstrap"), "accounts = {")) == 5
    assert "Daybook's five accounts" in pages.text_of("security.md")


def test_the_triggers_of_the_page_are_those_of_the_build_files() -> None:
    shown = {
        pages.words(row[0])[0]: (pages.words(row[1])[0], pages.words(row[2])[0])
        for row in pages.table("deploy.md", "trigger")
    }
    assert shown == {
        name: (
            options["build-config"],
            re.findall(r"/([\w-]+)@", options["service-account"])[0],
        )
        for name, options in triggers().items()
    }


# From nothing to the first file

COMMANDS = [
    *(pages.ROOT.glob("*.md")),
    *pages.DOCS.rglob("*.md"),
    *TERRAFORM.rglob("*.md"),
    *TERRAFORM.rglob("*.tfvars"),
    *TERRAFORM.rglob("*.example"),
]
SECRETS = [variable.name for variable in VARIABLES if variable.secret]


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_no_command_puts_a_secret_into_a_shells_history(page: Path) -> None:
    """`read -rs` takes it from the keyboard."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [
        line for line in text.splitlines() if re.match(r"(?:    |# .*)\S*(printf|export) ", line)
    ]
    commands = [re.sub(r"(^|\s)#\s.*", "", line) for line in lines]
    names = "|".join(SECRETS)
    written = re.compile(
        rf"(printf|echo).*\w+://|({names})=['\"]?(?!\$|sm://|mongodb://127\.0\.0\.1)\w|://[^\s/@$]*:[^\s/@$]+@"
    )
    assert [line for line in commands if written.search(line)] == []


def test_six_steps_lead_to_the_first_file() -> None:
    text = pages.text_of("deploy.md")
    steps = re.findall(r"^## (\d+)\. ", text, re.MULTILINE)
    assert steps == ["1", "2", "3", "4", "5", "6"]
    named = re.findall(r"\bsteps? (\d+)(?: to (\d+))?", text)
    assert {number for pair in named for number in pair if number} <= set(steps)


def test_no_command_names_a_tag_or_deploys_past_terraform() -> None:
    for page in COMMANDS:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"git .*\bv\d+\.\d+", text), page
        assert "gcloud functions deploy" not in text, page
