"""Prometheus's own tool reads the rules, and each fires when its figure has been beyond the limit for long enough."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import alerts
from dashboards.alerts import RULES, SILENT, Rule

pytestmark = pytest.mark.promtool


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def firing(rule: Rule, value: float) -> dict[str, Any]:
    severity, subject = rule.severity, f"a {rule.sign}"
    shown = f": {subject} = {value:g}"
    return {
        "exp_labels": {"severity": severity, "sign": rule.sign, "subject": subject},
        "exp_annotations": {"summary": rule.text_en + shown, "summary_zh": rule.text_zh + "：" + shown[2:]},
    }


def case(rule: Rule) -> dict[str, Any]:
    """Five minutes at the limit, then beyond it, then back at the limit; another subject is well all the time."""
    beyond = rule.limit / 2 if rule.below else rule.limit * 2 + 1
    values = f"{rule.limit:g}x9 {beyond:g}x{2 * rule.holds + 4} {rule.limit:g}x9"  # one each 30 s
    began, lasts = 5.0, rule.holds + 2.5

    def series(subject: str) -> str:
        return f'{alerts.METRIC}{{sign="{rule.sign}",subject="{subject}"}}'

    def at(minutes: float, *alarms: dict[str, Any]) -> dict[str, Any]:
        return {
            "eval_time": f"{minutes * 60:.0f}s",
            "alertname": f"Meantime{rule.name}",
            "exp_alerts": list(alarms),
        }

    return {
        "interval": "30s",
        "input_series": [
            {"series": series(f"a {rule.sign}"), "values": values},
            {"series": series("another"), "values": f"{rule.limit:g}x40"},
        ],
        "alert_rule_test": [
            at(began - 0.5),
            at(began + rule.holds - 0.5),
            at(began + rule.holds, firing(rule, beyond)),
            at(began + lasts + 0.5),
        ],
    }


def unseen() -> dict[str, Any]:
    """Nothing comes from /metrics any more."""
    alarm = {"exp_labels": {"severity": "critical"}, "exp_annotations": SILENT["annotations"]}
    return {
        "interval": "30s",
        "input_series": [
            {"series": 'meantime_process_beat_age_seconds{process="api"}', "values": "1x10 stale"}
        ],
        "alert_rule_test": [
            {"eval_time": minutes, "alertname": SILENT["alert"], "exp_alerts": alarms}
            for minutes, alarms in (("5m", []), ("7m", []), ("8m", [alarm]))
        ],
    }


def test_the_rule_file_is_one() -> None:
    done = promtool("check", "rules", alerts.PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES) + 1} rules found" in done.stdout


def test_each_rule_fires_for_its_subject_after_its_time_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    tests = {
        "rule_files": [str(alerts.PROMETHEUS)],
        "evaluation_interval": "30s",
        "tests": [*map(case, RULES), unseen()],
    }
    file.write_text(yaml.safe_dump(tests, allow_unicode=True), encoding="utf-8")
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_expects_no_alarm_where_there_is_one_is_red(tmp_path: Path) -> None:
    """So that the test before this one can fail."""
    file, wrong = tmp_path / "rules.yml", case(RULES[0])
    for check in wrong["alert_rule_test"]:
        check["exp_alerts"] = []
    file.write_text(
        yaml.safe_dump({"rule_files": [str(alerts.PROMETHEUS)], "tests": [wrong]}), encoding="utf-8"
    )
    assert promtool("test", "rules", file).returncode != 0
