"""Prometheus' rules and Grafana's dashboard ask for metrics that /metrics really has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import pages

RULES = pages.ROOT / "ops" / "prometheus" / "alerts.yml"
RULE_TESTS = RULES.with_name("alerts_test.yml")
DASHBOARD = pages.ROOT / "ops" / "grafana" / "daybook.json"

SERIES_OF = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
SELECTOR = re.compile(r"\b((?:daily_batch|daybook)_\w+)(?:\{([^}]*)\})?")
WIDTH = 24
"""Columns of Grafana's grid."""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no promtool in CI: install Debian's package prometheus")
        pytest.skip("no promtool here (Debian: apt-get install prometheus)")
    return subprocess.run(
        [program, *arguments], capture_output=True, check=False, text=True, timeout=120
    )


def exposed() -> dict[str, dict[str, set[str]]]:
    """Every series name of docs/metrics.md with its labels, and their values where listed."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, kind, _unit, labels, *_ in pages.table("metrics.md", "metric"):
        of_metric = {
            label: set(values.split(", ")) if values else set()
            for label, values in re.findall(r"`(\w+)`(?:: ([\w, ]+))?", labels)
        }
        for suffix in SERIES_OF.get(kind, ("",)):
            found[pages.words(name)[0] + suffix] = of_metric
    return found


def unknown(expression: str) -> list[str]:
    """The metrics, labels and label values of an expression that /metrics has not."""
    series = exposed()
    wrong: list[str] = []
    for name, matchers in SELECTOR.findall(expression):
        if name not in series:
            wrong.append(name)
            continue
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
            listed = series[name].get(label)
            if listed is None or (listed and value not in listed):
                wrong.append(f'{name}{{{label}="{value}"}}')
    return wrong


def rules() -> dict[str, Mapping[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found = {rule["alert"]: rule for rule in group["rules"]}
    assert len(found) == len(group["rules"])
    return found


def panels() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    """The dashboard's."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_prometheus_loads_the_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    checked = promtool("test", "rules", str(RULE_TESTS))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_tried_both_ways() -> None:
    cases = [
        case
        for test in yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(rules())
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == set(rules())


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, name
        assert re.fullmatch(r"docs/runbook\.md#[a-z-]+", rule["annotations"]["runbook"]), name


def test_the_rules_that_the_documents_start_from_are_the_same() -> None:
    (block,) = re.findall(r"```yaml\n(.+?)```", pages.text_of("metrics.md"), re.DOTALL)
    (group,) = yaml.safe_load(block)["groups"]
    assert len(group["rules"]) == 8
    for offered in group["rules"]:
        rule = rules()[offered["alert"]]
        assert (rule["expr"], rule.get("for")) == (offered["expr"], offered.get("for"))


def test_the_rules_ask_for_series_that_exist() -> None:
    for name, rule in rules().items():
        assert unknown(rule["expr"]) == [], name


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("daily_batch_export_entry > 1", ["daily_batch_export_entry"]),
        ("daily_batch_export_duration_seconds > 1", ["daily_batch_export_duration_seconds"]),
        ('daybook_orphans{state="lost"} > 0', ['daybook_orphans{state="lost"}']),
        ('daybook_orphans{kind="seen"} > 0', ['daybook_orphans{kind="seen"}']),
        ("rate(daily_batch_export_duration_seconds_sum[1h])", []),
        ('daybook_orphans{state="seen"} > 0', []),
    ],
)
def test_what_is_here_notices_a_series_that_is_not_there(expression: str, wrong: list[str]) -> None:
    assert unknown(expression) == wrong


def test_the_dashboard_asks_for_series_that_exist() -> None:
    assert len(expressions()) > 20
    assert [wrong for expression in expressions() for wrong in unknown(expression)] == []


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [
        {"record": f"dashboard:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    checked = promtool("check", "rules", str(path))
    assert checked.returncode == 0, checked.stderr
    assert f"{len(recorded)} rules found" in checked.stdout


def test_the_time_since_the_last_success_is_unknown_before_the_first(tmp_path: Path) -> None:
    (panel,) = [one for one in panels() if one["title"] == "Since the last success"]
    (target,) = panel["targets"]
    name = "daily_batch_export_last_success_timestamp_seconds"
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": "0x59 3600x60"}],
        "promql_expr_test": [
            {"expr": target["expr"], "eval_time": "30m", "exp_samples": []},
            {
                "expr": target["expr"],
                "eval_time": "90m",
                "exp_samples": [{"labels": "{}", "value": 1800}],
            },
        ],
    }
    path = tmp_path / "panel_test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    checked = promtool("test", "rules", str(path))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_shows_duration_entries_and_errors_with_their_limits() -> None:
    limits = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        for panel in panels()
        if panel["type"] == "timeseries"
    }
    assert {name: limits[name] for name in ("Duration", "Entries", "Error rate")} == {
        "Duration": 25,
        "Entries": 4000,
        "Error rate": 0,
    }
    shown = {name for expression in expressions() for name, _ in SELECTOR.findall(expression)}
    assert {
        "daily_batch_export_last_duration_seconds",
        "daily_batch_export_duration_seconds_bucket",
        "daily_batch_export_entries",
        "daily_batch_export_entries_total",
        "daily_batch_export_errors_total",
        "daily_batch_export_attempts_total",
        "daily_batch_export_queue_oldest_age_seconds",
        "daybook_circuit_breaker_state",
    } <= shown


def test_every_panel_asks_the_chosen_data_source_and_has_its_own_place() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    (variable,) = dashboard["templating"]["list"]
    chosen = {"type": variable["query"], "uid": f"${{{variable['name']}}}"}
    assert variable["type"] == "datasource"
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["datasource"] == chosen, panel["title"]
        assert all(target["datasource"] == chosen for target in panel["targets"])
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, f"{panel['title']} covers another panel"
        assert max(x for x, _ in cells) < WIDTH, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
